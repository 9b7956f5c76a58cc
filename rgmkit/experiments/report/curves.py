"""PSNR against time, as a mean over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rgmkit.experiments.result import Record

POINTS = 64
SHORTEST = 1e-6  # seconds: what a logarithmic axis can show


@dataclass(frozen=True, eq=False)
class Curve:
    """The mean path of one method; its last point is the median time and the mean PSNR of the answers."""

    seconds: np.ndarray
    psnr: np.ndarray


def mean_curve(records: Sequence[Record]) -> Curve | None:
    """The mean of `Record.path` over the cells of one method, on common times; None without a finite PSNR.

    The time of each cell is scaled so that it ends at the median time of all, which makes cells of
    different image sizes comparable. Between two steps the PSNR runs straight against the logarithm of
    time. The curve begins where every cell has taken its first step.

    >>> cells = [Record(key, "i", "d", "m", 0, after={"psnr": end}, seconds=time, path=[(time / 4, end - 8)])
    ...          for key, end, time in (("a", 30.0, 1.0), ("b", 20.0, 3.0))]
    >>> curve = mean_curve(cells)
    >>> [(float(curve.seconds[i]), float(curve.psnr[i])) for i in (0, -1)]
    [(0.5, 17.0), (2.0, 25.0)]
    """
    paths = [path for record in records if (path := _path(record)) is not None]
    if not paths:
        return None
    end = float(np.median([seconds[-1] for seconds, _ in paths]))
    scaled = [(seconds * (end / seconds[-1]), psnr) for seconds, psnr in paths]
    start = max(seconds[0] for seconds, _ in scaled)
    common = np.geomspace(start, end, POINTS) if start < end else np.array([end])
    common[-1] = end  # exactly: the last step is a jump for methods of one step
    values = [np.interp(np.log(common), np.log(seconds), psnr) for seconds, psnr in scaled]
    return Curve(common, np.mean(values, axis=0))


def _path(record: Record) -> tuple[np.ndarray, np.ndarray] | None:
    """(seconds, PSNR) of a cell, which end with its answer."""
    final = record.after.get("psnr", np.nan)
    if record.error is not None or not np.isfinite(final):
        return None
    steps = [(seconds, psnr) for seconds, psnr in record.path if seconds > 0 and np.isfinite(psnr)]
    end = max([record.seconds, SHORTEST, *(seconds for seconds, _ in steps)])
    path = np.array([*(step for step in steps if step[0] < end), (end, final)])
    return path[:, 0], path[:, 1]
