"""JPEG compression, differentiable."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """What this plugin gives; nothing of it is imported here."""
    return [Component("degradation", "jpeg", "rgmkit_jpeg.jpeg:Jpeg", "JPEG compression (not linear)")]
