"""Check the files and names of a command before torch is imported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rgmkit import models, plugins
from rgmkit.config import Place, is_number, override, read_spec, read_yaml, split_name, take_plugins
from rgmkit.errors import ConfigError, DataError, naming
from rgmkit.images.formats import check_source, check_target
from rgmkit.runtime.files import check_writable


def check_pictures(image: Path, outputs: Sequence[Path], *, truth: Path | None = None) -> None:
    """Check that the inputs exist, and that the outputs can be written and would not overwrite an input.

    Raises:
        DataError, ConfigError: if a check fails.
    """
    inputs = {"picture": image} | ({"true image": truth} if truth else {})
    for out in outputs:
        check_target(out)
        for what, path in inputs.items():
            if os.path.realpath(out) == os.path.realpath(path):
                raise ConfigError(f"{out} is the {what} itself: name another file with -o")
    for path in inputs.values():
        check_source(path)


def spare(outputs: Sequence[Path]) -> Place:
    """Return a `Place` that leaves files where they are, and refuses those that the outputs would overwrite."""

    def place(file: Path, path: str) -> Path:
        for out in outputs:
            if os.path.realpath(out) == os.path.realpath(file):
                raise ConfigError(f"{out} is the file of {path} itself: name another file with -o")
        return file

    return place


def check_output(path: Path, endings: tuple[str, ...]) -> None:
    """Raise a DataError unless a file with one of `endings` can be written to `path`."""
    if path.suffix.lower() not in endings:
        raise DataError(f"{path} has the ending {path.suffix!r}: name a file that ends in {' or '.join(endings)}")
    check_writable(path)


def check_new_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise a ConfigError if `folder` is a file, or holds files and `overwrite` is not set."""
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ConfigError(f"{folder} is a file: name a folder with -o")
    if os.path.isdir(folder) and any(folder.iterdir()) and not overwrite:
        raise ConfigError(f"{folder} is not empty: name another folder with -o, or give --overwrite")
    check_writable(folder / "a file")


def check_names(*, folder: Path | None = None, **given: Any) -> None:
    """Check that each component or model exists, by kind: `check_names(prior="tv", solver="pgd")`.

    Only names are checked; objects are skipped. No component is imported.

    Raises:
        PluginError, CheckpointError, ConfigError: if a spec is malformed, or its name is unknown.
    """
    for kind, spec in given.items():
        if kind == "noise" and is_number(spec):
            continue
        named = models.find_prior(spec, folder) if kind == "prior" else read_spec(spec)
        if isinstance(named, models.ModelSpec):
            models.check_model(named.where)
        elif named is not None:
            plugins.lookup(kind, split_name(kind, named).name)


def check_grid(grid: Path, overrides: Iterable[str]) -> None:
    """Check the names in the grid of an experiment."""
    content = take_plugins(override(read_yaml(grid), overrides), grid.parent)
    folder = grid.parent / str(content.get("folder") or "")
    for path, degradation in _items(content, "degradation"):
        with naming(path):
            check_names(degradation=degradation)
    for path, method in _items(content, "method"):
        if isinstance(method, Mapping):
            with naming(path):
                check_names(prior=method.get("prior"), solver=method.get("solver"), folder=folder)
    for path, metric in _items(content, "metrics"):
        if metric != "all":
            with naming(path):
                check_names(metric=metric)


def _items(content: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    """Return each item of a list, or a single value as one item, with its path in the configuration."""
    given = content.get(key)
    return [(f"{key}[{i}]", item) for i, item in enumerate(given if isinstance(given, list) else [given])]
