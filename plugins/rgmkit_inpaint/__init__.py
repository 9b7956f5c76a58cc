"""Inpainting: pixels that are lost."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """What this plugin gives; nothing of it is imported here."""
    return [Component("degradation", "inpaint", "rgmkit_inpaint.inpaint:Inpaint", "Lost pixels: a mask, random, a box")]
