"""The gallery: what is shown of every image under every degradation, as data for the page's script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rgmkit.experiments.report.album import Album, Slot, lossless, lossy
from rgmkit.experiments.report.grid import Grid
from rgmkit.experiments.report.pictures import Row
from rgmkit.experiments.report.statistics import BEST, UNITS, duration, spell
from rgmkit.experiments.result import Record


@dataclass
class Gallery:
    """Data for the script, the pictures, and what has to be said of them.

    Attributes:
        exact: whether every photograph is what lies on the disk.
        rows: by "degradation/image/seed", ranks of the labels: what the script shows.
        uris: of the pictures, by the numbers that the rows hold.
        left_out: number of rows that are shown without pictures.
    """

    exact: bool
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    uris: Sequence[str] = ()
    left_out: int = 0


def gallery(grid: Grid, folder: Path, budget: int) -> Gallery:
    """The gallery of a grid: lossless where that fits into `budget` bytes, or else as much as does."""
    exact, shown = Album(lossless, budget), Gallery(exact=True)
    if _fill(shown, exact, grid, folder):
        return shown
    shown = Gallery(exact=False)
    _fill(shown, Album(lossy, budget), grid, folder)
    return shown


def _fill(shown: Gallery, album: Album, grid: Grid, folder: Path) -> bool:
    """Take rows until one does not fit, and show the others without pictures; whether all fitted."""
    for place, records in grid.rows().items():
        row = None if shown.left_out else Row.load(folder, records)
        if row is None or not album.take(row):
            if shown.exact:
                return False
            row, shown.left_out = None, shown.left_out + 1
        shown.rows["/".join(map(str, place))] = _without(records) if row is None else _with(row, records, album)
    shown.uris = album.uris
    return not album.full


def _with(row: Row, records: Sequence[Record], album: Album) -> dict[str, Any]:
    photos = {name: album.slot(photo) for name, photo in row.photos.items()}
    errors = {name: album.slot(error) for name, error in row.errors.items()}
    width, height = row.size
    return {"width": width, "height": height, "limit": f"{row.limit:.2g}", "cards": _cards(records, photos, errors)}


def _without(records: Sequence[Record]) -> dict[str, Any]:
    kept = {name: file for record in records for name, file in record.pictures.items()}
    files = {"truth": kept.get("truth"), "measured": kept.get("measured")}
    files |= {record.key: record.pictures.get("restored") for record in records}
    reasons: dict[str, Slot] = {name: f"left out here: {file or 'no picture was kept'}" for name, file in files.items()}
    reasons |= {record.key: record.gap for record in records if record.error is not None}
    return {"width": 4, "height": 1, "limit": None, "cards": _cards(records, reasons, {})}


def _cards(records: Sequence[Record], photos: Mapping[str, Slot], errors: Mapping[str, Slot]) -> list[dict[str, Any]]:
    """The truth, the measurement and the restorations, each with its figures."""
    before = next((record.before for record in records if record.before), {})
    cards: list[dict[str, Any]] = [
        {"name": "truth", "figures": [], "picture": photos["truth"]},
        {"name": "measurement", "figures": _figures(before, {}), "picture": photos["measured"]},
    ]
    cards[-1]["error"] = errors.get("measured")
    done = [record.after for record in records if record.error is None]
    found = {name: [after[name] for after in done if name in after] for name in BEST}
    tops = {name: BEST[name](values) for name, values in found.items() if values}
    for record in records:
        card = {"name": record.method, "picture": photos[record.key], "error": errors.get(record.key)}
        cards.append(card | {"figures": _figures(record.after, tops) + _costs(record), "notes": record.notes})
    return cards


def _figures(values: Mapping[str, float], tops: Mapping[str, float]) -> list[tuple[str, str, bool]]:
    """Name, value in print, and whether it is the best of its row."""
    return [
        (name.upper(), f"{spell(name, value)} {UNITS.get(name, '')}".strip(), value == tops.get(name))
        for name, value in values.items()
    ]


def _costs(record: Record) -> list[tuple[str, str, bool]]:
    if record.error is not None:
        return []
    return [("time", f"{duration(record.seconds)} s", False), ("NFE", str(record.nfe), False)]
