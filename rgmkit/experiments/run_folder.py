"""The folder of a run: what it contains, and whether a grid may be continued in it.

It contains grid.yaml, run.json (`RunFacts`), cells/KEY.json, pictures/, tuning.csv, results.csv, results.json,
results.md and report.html.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rgmkit.config import dump_yaml, make, read_yaml
from rgmkit.errors import ConfigError, DataError
from rgmkit.experiments.cells import read_places
from rgmkit.experiments.photographs import BUNDLED, Photographs
from rgmkit.experiments.published import Published, read_published
from rgmkit.experiments.result import Record
from rgmkit.experiments.serialize import find_difference
from rgmkit.runtime.files import check_writable, write_aside
from rgmkit.runtime.lock import LOCK, OWNER

GRID, FACTS, CELLS, PICTURES = "grid.yaml", "run.json", "cells", "pictures"
WRITTEN = (
    "tuning.csv",
    "results.csv",
    "results.json",
    "results.md",
    "report.html",
    FACTS,
    GRID,
)  # GRID marks the folder of a run
CHANGEABLE = ("plugins", "title", "published")  # keys that may change when a run is continued


@dataclass(frozen=True)
class RunFacts:
    """What is fixed when a run begins.

    Attributes:
        pictures, training: the sources of the test and of the training images.
        cells: the number of cells.
        ends: the ends of the range of each tuned parameter, by method.
        metrics: the fields of each metric's `MetricInfo`, by label; empty in runs of version 0.1.
        sets: the number of test images in each set; empty if there is one set.
        boundary: of blurs that name none; circular in runs of version 0.1, which do not store it.
    """

    pictures: list[str]
    training: list[str]
    cells: int
    ends: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    boundary: str = "circular"
    sets: list[int] = field(default_factory=list)


def find_run(folder: Path, content: Mapping[str, Any]) -> RunFacts | None:
    """Read the facts of the run in `folder`, which must be of this grid; return None if the folder is new or empty.

    Raises:
        ConfigError: if it holds anything else; for another grid, with the first difference.
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ConfigError(f"{folder} is a file: name a folder with -o")
    check_writable(folder / GRID)
    if not os.path.exists(folder / GRID):
        if os.path.exists(folder) and any(path.name not in (LOCK, OWNER) for path in folder.iterdir()):
            raise ConfigError(f"{folder} is not empty and holds no run: name another folder with -o")
        return None
    old = {key: value for key, value in read_yaml(folder / GRID).items() if key not in CHANGEABLE}
    new = {key: value for key, value in content.items() if key not in CHANGEABLE}
    differs = find_difference(old, new)
    if differs:
        raise ConfigError(f"{folder} holds the run of another grid ({differs}): name another folder, or --overwrite it")
    return read_facts(folder)


def read_facts(folder: Path) -> RunFacts:
    """Read the facts of the run in `folder`.

    Raises:
        DataError: if there is none, or the file is damaged.
    """
    file = folder / FACTS
    try:
        return make(RunFacts, json.loads(file.read_text(encoding="utf-8")), what="the file")
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no run: name the folder that `rgmkit run` wrote") from error
    except (ValueError, RecursionError, ConfigError) as error:
        raise DataError(f"{file} is damaged ({error}): start afresh with --overwrite") from error


def check_pictures(folder: Path, data: Photographs, old: Sequence[str], key: str) -> None:
    """Raise a ConfigError unless `data` names the pictures that a run began with; files deleted since do not count."""
    now = data.sources()
    other = next((s for s in old if s not in now and (s.startswith(BUNDLED) or os.path.exists(s))), None)
    if other:
        raise ConfigError(f"{folder} holds a run with other pictures, such as {other}, which {key} does not name now")
    new = next((source for source in now if source not in old), None)
    if new and data.limit is None:
        raise ConfigError(
            f"{folder} holds a run without {new}, which is new in {key}: name another folder, or --overwrite it"
        )


def begin_run(folder: Path, content: Mapping[str, Any], facts: RunFacts) -> None:
    """Make the folder of a run, removing an earlier run in it."""
    if os.path.exists(folder / GRID):
        for name in (CELLS, PICTURES):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in WRITTEN:
            (folder / name).unlink(missing_ok=True)
    with write_aside(folder / FACTS) as part:
        part.write_text(json.dumps(asdict(facts), indent=1), encoding="utf-8")
    write_grid(folder, content)


def write_grid(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the grid of a run; call it also when a run continues, since some keys may have changed."""
    with write_aside(folder / GRID) as part:
        part.write_text(dump_yaml(dict(content)), encoding="utf-8")


def remove_unfinished(folder: Path) -> None:
    """Remove the partly written files of a killed run."""
    for parent in (folder, folder / CELLS, folder / PICTURES):
        for part in parent.glob(".*.part"):
            part.unlink(missing_ok=True)


def read_record(folder: Path, key: str) -> Record | None:
    """Read the record of a cell; return None if there is none, or it is damaged."""
    file = folder / CELLS / f"{key}.json"
    try:
        return Record.read(file) if os.path.exists(file) else None
    except DataError:
        return None


def read_records(folder: Path) -> list[Record]:
    """Read all records of a run, in the order of the grid.

    Raises:
        DataError: if one is damaged.
    """
    ranks = {seed: i for i, seed in enumerate(read_yaml(folder / GRID)["seeds"])}

    def order(record: Record) -> tuple[list[int], int, list[int]]:
        places = read_places(record.key)
        return places[:2], ranks.get(record.seed, len(ranks)), places[2:]

    return sorted((Record.read(file) for file in sorted((folder / CELLS).glob("*.json"))), key=order)


def read_title(folder: Path) -> str:
    """Read the title of tables and report: that of the grid, or the name of the folder."""
    return str(read_yaml(folder / GRID).get("title") or folder.resolve().name)


def read_published_rows(folder: Path) -> tuple[Published, ...]:
    """Read the published results that the grid of a run names."""
    return read_published(read_yaml(folder / GRID).get("published") or [])
