"""Loss of colour."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the components of this plugin; their modules are imported when one is used."""
    return [Component("degradation", "grayscale", "rgmkit_colour.grayscale:Grayscale", "Weighted sum of the channels")]
