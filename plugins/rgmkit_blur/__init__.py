"""Blur: Gaussian, motion, a kernel from a file, or a camera that shakes."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """What this plugin gives; nothing of it is imported here."""
    return [
        Component("degradation", "blur", "rgmkit_blur.blur:Blur", "Gaussian or motion blur, or a kernel's file"),
        Component("degradation", "motion-blur", "rgmkit_blur.motion:MotionBlur", "The random path of a shaken camera"),
    ]
