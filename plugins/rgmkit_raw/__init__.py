"""Raw pictures of a sensor behind a mosaic of colour filters."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the components of this plugin; their modules are imported when one is used."""
    return [Component("degradation", "bayer", "rgmkit_raw.bayer:Bayer", "Raw picture of a sensor with a Bayer mosaic")]
