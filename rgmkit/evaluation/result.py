"""What an evaluation found, as plain values and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

RELATIVE = "of real"
"""The Fréchet distance, divided by that of real images, as many as are generated if there are enough."""


@dataclass(frozen=True)
class Cost:
    """Network evaluations for each image, the seconds that all images took, and images per second."""

    nfe: int
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Row:
    """Metrics of images.

    Attributes:
        start: what they were made from, such as "noise".
        level: the level at which the chain started; None for real images.
        metrics, score: of the comparison with real images, and those that the data source defines; means over seeds.
        metrics_std, score_std: standard deviation over the seeds, if there are several.
    """

    start: str
    level: int | None
    metrics: dict[str, float]
    score: dict[str, float] = field(default_factory=dict)
    metrics_std: dict[str, float] = field(default_factory=dict)
    score_std: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Restoration:
    """Metrics of restored images and, before, of their measurements; means over the images."""

    degradation: str
    images: int
    metrics: dict[str, float]
    before: dict[str, float]
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What `rgmkit.evaluate` found; `str` of it is a table.

    Attributes:
        features: by which images were compared.
        count, seeds: how many images were generated from each seed.
        reference: how many real images they were compared with.
        generation: one row for images from noise, one for each chain, one for other real images if there are enough,
            and one for random sets of the real images.
        cost: of generating the images of one seed.
        restoration: one item for each degradation.
    """

    model: str
    data: str
    features: str
    count: int
    reference: int
    seeds: tuple[int, ...]
    device: str
    generation: list[Row]
    cost: Cost | None
    restoration: list[Restoration]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(self._lines()).lstrip("\n")

    def _lines(self) -> Iterator[str]:
        if self.generation:
            several = f", means of {len(self.seeds)} seeds" if len(self.seeds) > 1 else ""
            yield f"{self.count} images compared with {self.reference} of {self.data} by {self.features}{several}"
            yield from _table([{"start": row.start, **_format(row.metrics)} for row in self.generation])
            scored = [{"start": row.start, **_format(row.score)} for row in self.generation if row.score]
            if scored:
                yield from ("", f"metrics of {self.data}", *_table(scored))
            assert self.cost is not None
            speed = f"{self.cost.images_per_second:.3g} images a second on {self.device}"
            yield f"{self.cost.nfe} network evaluations, {speed}"
        if self.restoration:
            yield from ("", f"{self.restoration[0].images} restored images")
            yield from _table([_format_restoration(each) for each in self.restoration])


def _format(values: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.4g}" for name, value in values.items()}


def _format_restoration(found: Restoration) -> dict[str, str]:
    pairs = {name: f"{found.before[name]:.4g} -> {value:.4g}" for name, value in found.metrics.items()}
    return {
        "degradation": found.degradation,
        **pairs,
        "NFE": str(found.cost.nfe),
        "images/s": f"{found.cost.images_per_second:.3g}",
    }


def _table(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Format rows under a line of headings; columns are aligned."""
    lines = [dict(zip(rows[0], rows[0], strict=True)), *rows]
    widths = {name: max(len(line.get(name, "")) for line in lines) for name in rows[0]}
    for line in lines:
        first, *others = widths.items()
        cells = [line[first[0]].ljust(first[1]), *(line.get(name, "").rjust(width) for name, width in others)]
        yield "  ".join(cells).rstrip()


def average(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average each value over the rows."""
    return {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}


def spread(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the standard deviation of each value over the rows; nothing of one row."""
    return {name: statistics.stdev(row[name] for row in rows) for name in rows[0]} if len(rows) > 1 else {}
