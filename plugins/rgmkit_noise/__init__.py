"""White Gaussian noise: the degradation, and the forward process made of it."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """What this plugin gives; nothing of it is imported here."""
    return [
        Component("degradation", "gaussian-noise", "rgmkit_noise.noise:GaussianNoise", "White Gaussian noise"),
        Component("process", "gaussian", "rgmkit_noise.process:GaussianProcess", "Noise, level by level (RGM-D)"),
    ]
