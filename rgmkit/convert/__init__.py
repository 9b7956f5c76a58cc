"""Published weights to model folders."""

from __future__ import annotations

from rgmkit.convert.conversion import convert

__all__ = ["convert"]
