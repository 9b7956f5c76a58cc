"""White Gaussian noise: the degradation and the forward process."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the components of this plugin; their modules are imported when one is used."""
    return [
        Component("degradation", "gaussian-noise", "rgmkit_noise.noise:GaussianNoise", "White Gaussian noise"),
        Component("process", "gaussian", "rgmkit_noise.process:GaussianProcess", "White noise, level by level (RGM-D)"),
    ]
