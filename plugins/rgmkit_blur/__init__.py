"""Blur: Gaussian, straight motion, a kernel from a file, or camera shake."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the components of this plugin; their modules are imported when one is used."""
    return [
        Component("degradation", "blur", "rgmkit_blur.blur:Blur", "Gaussian or motion blur, or a kernel from a file"),
        Component("degradation", "motion-blur", "rgmkit_blur.motion:MotionBlur", "Blur by camera shake"),
    ]
