"""Means and standard deviations over the cells of a method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rgmkit.core.metric import MetricInfo
from rgmkit.experiments.result import Record
from rgmkit.experiments.results import Results


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (of the population, as `numpy.std`) of `count` values."""

    mean: float
    std: float
    count: int

    @staticmethod
    def of(values: Iterable[float]) -> Spread | None:
        """Summarise values; return None if there are none.

        >>> Spread.of([1.0, 3.0])
        Spread(mean=2.0, std=1.0, count=2)
        """
        array = np.array(list(values), dtype=float)
        if not array.size:
            return None
        finite = bool(np.isfinite(array).all())  # the PSNR of equal images is infinite
        return Spread(float(array.mean()), float(array.std()) if finite else math.nan, array.size)


@dataclass(frozen=True)
class MethodSummary:
    """The results of one method under one degradation.

    Attributes:
        label: the label of the method.
        cells, done: the number of cells, and of those that were restored.
        spreads: mean and standard deviation of the metrics of the restorations, by label.
        nfe: mean number of network evaluations.
        seconds: median time of the solver.
        memory_mb: highest peak memory, in MiB.
        gap: the reason, if the method does not fit the degradation; else empty.
    """

    label: str
    cells: int
    done: int
    spreads: dict[str, Spread]
    nfe: float = 0.0
    seconds: float = 0.0
    memory_mb: float = 0.0
    gap: str = ""


def summarize_methods(results: Results, condition: str) -> list[MethodSummary]:
    """Summarise each method that has cells under this condition."""
    cells = {method: results.select(condition, method) for method in results.methods}
    return [_summarize(method, records, list(results.metrics)) for method, records in cells.items() if records]


def summarize_measurements(results: Results, condition: str) -> dict[str, Spread]:
    """Summarise the metrics of the measurements; each image and seed counts once."""
    before = {(record.image, record.seed): record.before for record in results.select(condition) if record.before}
    return _spreads(list(before.values()), list(results.metrics))


def find_best(summaries: Sequence[MethodSummary], label: str, info: MetricInfo) -> float | None:
    """Find the best mean of a metric among the methods with the most restorations: other means are of fewer images."""
    most = max((summary.done for summary in summaries), default=0)
    return info.best(s.spreads[label].mean for s in summaries if s.done == most and label in s.spreads)


def _summarize(method: str, records: Sequence[Record], labels: Sequence[str]) -> MethodSummary:
    done = [record for record in records if record.error is None]
    if not done:
        return MethodSummary(method, len(records), 0, {}, gap="" if records[0].fits else records[0].gap)
    return MethodSummary(
        method,
        len(records),
        len(done),
        _spreads([record.after for record in done], labels),
        nfe=float(np.mean([record.nfe for record in done])),
        seconds=float(np.median([record.seconds for record in done])),
        memory_mb=max(record.memory_mb for record in done),
    )


def _spreads(found: Sequence[dict[str, float]], labels: Sequence[str]) -> dict[str, Spread]:
    spreads = {label: Spread.of(values[label] for values in found if label in values) for label in labels}
    return {label: spread for label, spread in spreads.items() if spread is not None}
