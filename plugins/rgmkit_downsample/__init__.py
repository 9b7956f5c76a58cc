"""Downsampling, and the forward process that lowers resolution and adds noise in turn."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the components of this plugin; their modules are imported when one is used."""
    return [
        Component("degradation", "downsample", "rgmkit_downsample.downsample:Downsample", "Fewer pixels by a factor"),
        Component(
            "process",
            "multiscale",
            "rgmkit_downsample.process:MultiscaleProcess",
            "Noise and lower resolution in turn (RGM-SR)",
        ),
    ]
