"""The gallery: the pictures of every image under every degradation, as data for the page's script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rgmkit.core.metric import MetricInfo
from rgmkit.experiments.report.album import Album, Slot, compress, encode_exactly
from rgmkit.experiments.report.pictures import GalleryRow
from rgmkit.experiments.result import Record
from rgmkit.experiments.results import Results
from rgmkit.experiments.tables import format_seconds


@dataclass
class Gallery:
    """Data for the script, and the pictures.

    Attributes:
        exact: whether every photograph is embedded losslessly.
        rows: what the script shows, by "degradation/image/seed", each given by its position.
        uris: data URIs of the pictures; the rows refer to them by index.
        left_out: number of rows that are shown without pictures.
    """

    exact: bool
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    uris: Sequence[str] = ()
    left_out: int = 0


def make_gallery(results: Results, budget: int) -> Gallery:
    """Make the gallery of a run, lossless if that fits into `budget` bytes, else compressed and as much as fits."""
    gallery = Gallery(exact=True)
    if _fill(gallery, Album(encode_exactly, budget), results):
        return gallery
    gallery = Gallery(exact=False)
    _fill(gallery, Album(compress, budget), results)
    return gallery


def _fill(gallery: Gallery, album: Album, results: Results) -> bool:
    """Add rows until one does not fit, and the rest without pictures; return whether the budget was kept.

    An exact gallery is given up at the first row that does not fit.
    """
    for positions, records in results.rows().items():
        row = None if gallery.left_out else GalleryRow.load(results.folder, records)
        if row is None or not album.add(row):
            if gallery.exact:
                return False
            row, gallery.left_out = None, gallery.left_out + 1
        shown = _without_pictures(records, results) if row is None else _with_pictures(row, records, album, results)
        gallery.rows["/".join(map(str, positions))] = shown
    gallery.uris = album.uris
    return not album.exceeds_budget


def _with_pictures(row: GalleryRow, records: Sequence[Record], album: Album, results: Results) -> dict[str, Any]:
    photos = {name: album.slot(photo) for name, photo in row.photos.items()}
    errors = {name: album.slot(error) for name, error in row.errors.items()}
    (width, height), cards = row.size, _make_cards(records, photos, errors, results.metrics)
    return {"width": width, "height": height, "limit": f"{row.limit:.2g}", "cards": cards}


def _without_pictures(records: Sequence[Record], results: Results) -> dict[str, Any]:
    stored = {name: file for record in records for name, file in record.pictures.items()}
    files = {"truth": stored.get("truth"), "measured": stored.get("measured")}
    files |= {record.key: record.pictures.get("restored") for record in records}
    reasons: dict[str, Slot] = {name: f"left out here: {file or 'no picture was kept'}" for name, file in files.items()}
    reasons |= {record.key: record.gap for record in records if record.error is not None}
    return {"width": 4, "height": 1, "limit": None, "cards": _make_cards(records, reasons, {}, results.metrics)}


def _make_cards(
    records: Sequence[Record],
    photos: Mapping[str, Slot],
    errors: Mapping[str, Slot],
    metrics: Mapping[str, MetricInfo],
) -> list[dict[str, Any]]:
    """Make a card for the truth, the measurement and each restoration, with its metrics."""
    before = next((record.before for record in records if record.before), {})
    measured = {"picture": photos["measured"], "error": errors.get("measured")}
    cards: list[dict[str, Any]] = [
        {"name": "truth", "values": [], "picture": photos["truth"]},
        {"name": "measurement", "values": _list_values(before, {}, metrics), **measured},
    ]
    done = [record.after for record in records if record.error is None]
    best = {name: info.best(after[name] for after in done if name in after) for name, info in metrics.items()}
    for record in records:
        restored = {"picture": photos[record.key], "error": errors.get(record.key), "notes": record.notes}
        values = _list_values(record.after, best, metrics) + _list_costs(record)
        cards.append({"name": record.method, "values": values, **restored})
    return cards


def _list_values(
    values: Mapping[str, float], best: Mapping[str, float | None], metrics: Mapping[str, MetricInfo]
) -> list[tuple[str, str, bool]]:
    """List (name, formatted value, whether it is the best of its row) for each metric."""
    return [
        (info.name, f"{info.format(values[name])} {info.unit}".strip(), values[name] == best.get(name))
        for name, info in metrics.items()
        if name in values
    ]


def _list_costs(record: Record) -> list[tuple[str, str, bool]]:
    if record.error is not None:
        return []
    return [("time", f"{format_seconds(record.seconds)} s", False), ("NFE", str(record.nfe), False)]
