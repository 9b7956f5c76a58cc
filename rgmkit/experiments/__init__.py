"""Compare methods on a grid of images, degradations and seeds: configuration, plan, evaluation, results, report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rgmkit.experiments.pipeline import run
    from rgmkit.experiments.results import Results

__all__ = ["Results", "run"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{'pipeline' if name == 'run' else 'results'}")
    return getattr(module, name)
