"""Lower resolution: the degradation, and the forward process of noise and resolution in turn."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """What this plugin gives; nothing of it is imported here."""
    return [
        Component("degradation", "downsample", "rgmkit_downsample.downsample:Downsample", "Fewer pixels by a factor"),
        Component(
            "process",
            "multiscale",
            "rgmkit_downsample.process:MultiscaleProcess",
            "Noise and resolution in turn (RGM-SR)",
        ),
    ]
