"""Colour: what is lost of it."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """What this plugin gives; nothing of it is imported here."""
    return [Component("degradation", "grayscale", "rgmkit_colour.grayscale:Grayscale", "One channel of several")]
