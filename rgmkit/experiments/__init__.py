"""Experiments: a grid of images, degradations, methods and seeds, run cell by cell, and its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rgmkit.experiments.runner import Results, run

__all__ = ["Results", "run"]


def __getattr__(name: str) -> Any:
    """Import the runner when it is asked for: records and reports need nothing of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rgmkit.experiments import runner

    return getattr(runner, name)
