"""Streaks of rain, a degradation for rgmkit. This module is light: it names the class and imports nothing."""

from __future__ import annotations

import rgmkit


@rgmkit.hookimpl
def rgmkit_components() -> list[rgmkit.Component]:
    """List the components of this plugin."""
    return [rgmkit.Component("degradation", "rain", "rgmkit_rain.rain:Rain", "Streaks of rain")]
