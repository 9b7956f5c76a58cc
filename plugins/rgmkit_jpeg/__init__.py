"""JPEG compression, differentiable."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the components of this plugin; their modules are imported when one is used."""
    return [
        Component("degradation", "jpeg", "rgmkit_jpeg.jpeg:Jpeg", "JPEG compression (not linear)"),
        Component("solver", "dequantise", "rgmkit_jpeg.dequantise:Dequantise", "JPEG: within the quantisation cells"),
    ]
