"""Check the names of components and models before torch is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rgmkit import models, plugins
from rgmkit.config import override, read_spec, read_yaml, split_name, take_plugins
from rgmkit.errors import naming


def check_names(*, folder: Path | None = None, **given: Any) -> None:
    """Check that each component or model exists, by kind: `check_names(prior="tv", solver="pgd")`.

    Anything that is not given by its name is left unchecked. Nothing is imported.

    Raises:
        PluginError, CheckpointError, ConfigError: if a spec is malformed, or there is nothing of that name.
    """
    for kind, spec in given.items():
        named = models.find_prior(spec, folder) if kind == "prior" else read_spec(spec)
        if isinstance(named, models.ModelSpec):
            models.check_model(named.where)
        elif named is not None:
            plugins.lookup(kind, split_name(kind, named).name)


def check_grid(grid: Path, overrides: Iterable[str]) -> None:
    """Check the names in the grid of an experiment."""
    content = _read(grid, overrides)
    for i, degradation in enumerate(_items(content.get("degradation"))):
        with naming(f"degradation[{i}]"):
            check_names(degradation=degradation)
    for i, method in enumerate(_items(content.get("method"))):
        if isinstance(method, Mapping):
            with naming(f"method[{i}]"):
                check_names(prior=method.get("prior"), solver=method.get("solver"), folder=grid.parent)
    for i, metric in enumerate(_items(content.get("metrics"))):
        if metric != "all":
            with naming(f"metrics[{i}]"):
                check_names(metric=metric)


def _read(path: Path, overrides: Iterable[str]) -> dict[str, Any]:
    return take_plugins(override(read_yaml(path), overrides), path.parent)


def _items(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]
