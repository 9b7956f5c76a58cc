"""Means and deviations of the cells of a grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rgmkit.experiments.report.grid import Grid
from rgmkit.experiments.result import Record

DECIMALS = {"psnr": 2}
UNITS = {"psnr": "dB"}
BEST = {"psnr": max, "ssim": max, "lpips": min}
"""Which value is the best one; of other figures none is called so."""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (of the population, as `numpy.std`) of `count` values."""

    mean: float
    std: float
    count: int

    @staticmethod
    def of(values: Iterable[float]) -> Spread | None:
        """The spread of some values; None of none.

        >>> Spread.of([1.0, 3.0])
        Spread(mean=2.0, std=1.0, count=2)
        """
        array = np.array(list(values), dtype=float)
        if not array.size:
            return None
        finite = bool(np.isfinite(array).all())  # the PSNR of equal images is infinite
        return Spread(float(array.mean()), float(array.std()) if finite else math.nan, array.size)


@dataclass(frozen=True)
class Line:
    """What is known of one method under one degradation.

    Attributes:
        label: of the method.
        cells, done: how many there are, and how many have an answer.
        figures: of the answers, by name.
        nfe: mean number of network evaluations.
        seconds: median time of the solver.
        memory_mb: highest peak.
        gap: what stands in place of all that, where the method does not fit the degradation.
    """

    label: str
    cells: int
    done: int
    figures: dict[str, Spread]
    nfe: float = 0.0
    seconds: float = 0.0
    memory_mb: float = 0.0
    gap: str = ""


def lines(grid: Grid, degradation: str) -> list[Line]:
    """One line for each method that is in the grid for this degradation."""
    cells = {method: grid.cells(degradation, method) for method in grid.methods}
    return [_line(method, records, grid.figures) for method, records in cells.items() if records]


def before(grid: Grid, degradation: str) -> dict[str, Spread]:
    """Figures of the measurements themselves: each image and seed counts once."""
    measured = {(record.image, record.seed): record.before for record in grid.cells(degradation) if record.before}
    return _spreads(list(measured.values()), grid.figures)


def best(lines: Sequence[Line], figure: str) -> float | None:
    """The best mean of a figure, among the methods with the most answers: others' means are of other images."""
    most = max((line.done for line in lines), default=0)
    means = [line.figures[figure].mean for line in lines if line.done == most and figure in line.figures]
    means = [mean for mean in means if not math.isnan(mean)]
    return BEST[figure](means) if means and figure in BEST else None


def spell(figure: str, value: float) -> str:
    """A figure in print.

    >>> spell("psnr", 31.256), spell("ssim", 0.91249), spell("psnr", float("inf"))
    ('31.26', '0.912', '∞')
    """
    return f"{value:.{DECIMALS.get(figure, 3)}f}".replace("inf", "∞").replace("nan", "–")


def heading(figure: str) -> str:
    """The name of a figure in print, with its unit.

    >>> heading("psnr"), heading("ssim")
    ('PSNR (dB)', 'SSIM')
    """
    return figure.upper() + (f" ({UNITS[figure]})" if figure in UNITS else "")


def duration(seconds: float) -> str:
    """Seconds to three digits.

    >>> duration(0.01234), duration(1234.5)
    ('0.0123', '1234')
    """
    return f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.3g}"


def _line(method: str, records: Sequence[Record], figures: Sequence[str]) -> Line:
    done = [record for record in records if record.error is None]
    if not done:
        return Line(method, len(records), 0, {}, gap="" if records[0].fits else records[0].gap)
    return Line(
        method,
        len(records),
        len(done),
        _spreads([record.after for record in done], figures),
        nfe=float(np.mean([record.nfe for record in done])),
        seconds=float(np.median([record.seconds for record in done])),
        memory_mb=max(record.memory_mb for record in done),
    )


def _spreads(found: Sequence[dict[str, float]], figures: Sequence[str]) -> dict[str, Spread]:
    spreads = {name: Spread.of(values[name] for values in found if name in values) for name in figures}
    return {name: spread for name, spread in spreads.items() if spread is not None}
