"""Convert published weights to model folders."""

from __future__ import annotations

from rgmkit.models.published.conversion import convert

__all__ = ["convert"]
