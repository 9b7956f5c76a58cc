"""The value of a metric against time, as a mean over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rgmkit.experiments.result import Record

POINTS = 64
SHORTEST = 1e-6  # seconds; a logarithmic axis cannot show 0


@dataclass(frozen=True, eq=False)
class Curve:
    """The mean curve of one method; its last point is the median time and mean value of the restorations."""

    seconds: np.ndarray
    values: np.ndarray


def mean_curve(records: Sequence[Record]) -> Curve | None:
    """Average `Record.path` over the cells of one method, at common times; return None if no value is finite.

    The times of each cell are scaled to end at the median time of all, which makes images of different sizes
    comparable. Between two iterations, values are interpolated linearly in the logarithm of time. The curve begins
    where every cell has completed its first iteration.

    >>> cells = [Record(key, "i", "d", "m", 0, after={"psnr": end}, seconds=time, path=[(time / 4, end - 8)])
    ...          for key, end, time in (("a", 30.0, 1.0), ("b", 20.0, 3.0))]
    >>> curve = mean_curve(cells)
    >>> [(float(curve.seconds[i]), float(curve.values[i])) for i in (0, -1)]
    [(0.5, 17.0), (2.0, 25.0)]
    """
    paths = [path for record in records if (path := _finite_path(record)) is not None]
    if not paths:
        return None
    end = float(np.median([seconds[-1] for seconds, _ in paths]))
    scaled = [(seconds * (end / seconds[-1]), values) for seconds, values in paths]
    start = max(seconds[0] for seconds, _ in scaled)
    common = np.geomspace(start, end, POINTS) if start < end else np.array([end])
    common[-1] = end  # exactly `end`, where a method of one iteration jumps to its value
    values = [np.interp(np.log(common), np.log(seconds), values) for seconds, values in scaled]
    return Curve(common, np.mean(values, axis=0))


def _finite_path(record: Record) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the times and finite values of a cell, ending with its restoration; None if it has none."""
    final = record.after.get(record.path_metric, np.nan)
    if record.error is not None or not np.isfinite(final):
        return None
    points = [(seconds, value) for seconds, value in record.path if seconds > 0 and np.isfinite(value)]
    end = max([record.seconds, SHORTEST, *(seconds for seconds, _ in points)])
    path = np.array([*(point for point in points if point[0] < end), (end, final)])
    return path[:, 0], path[:, 1]
