"""Tuning: the numbers of each method under each degradation, on training images, every evaluation logged."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from rgmkit.errors import DataError, RgmkitError
from rgmkit.experiments.grid import Grid, Operator, Tuning
from rgmkit.experiments.line_search import Number, Values, search
from rgmkit.experiments.measure import Bench, Measured
from rgmkit.experiments.methods import Method, tuned_text
from rgmkit.experiments.photographs import Photograph
from rgmkit.runtime.files import write_aside

NAME = "tuning.csv"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """One row of tuning.csv: the mean figure that some values reach on the training images, or why none."""

    degradation: str
    method: str
    values: str
    metric: str
    figure: float
    seconds: float
    error: str = ""

    def read(self) -> Values:
        """The values by the paths of their options."""
        found: Values = json.loads(self.values)
        return found


class Log:
    """The evaluations of a run, in `folder/tuning.csv`; each is on the disk as soon as it is done."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.rows = list(_read(self.path)) if self.path.exists() else []

    def add(self, row: Evaluation) -> None:
        """Put a row at the end, in place of a failed evaluation of the same values."""
        same = (row.degradation, row.method, row.values)
        self.rows = [r for r in self.rows if (r.degradation, r.method, r.values) != same] + [row]
        with write_aside(self.path) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(field.name for field in fields(Evaluation))
            writer.writerows(map(astuple, self.rows))

    def of(self, degradation: str, method: str) -> list[Evaluation]:
        """The rows of a method under a degradation."""
        return [row for row in self.rows if (row.degradation, row.method) == (degradation, method)]

    def best(self, degradation: str, method: str) -> Evaluation | None:
        """The row with the best figure, the first of equal ones; None if no evaluation ended well."""
        rows = [row for row in self.of(degradation, method) if not row.error]
        return max(rows, key=lambda row: row.figure, default=None)

    def chosen(self, degradation: str, method: Method) -> Values:
        """The values that a method has under a degradation: none if nothing of it is tuned.

        Raises:
            DataError: if none could be evaluated.
        """
        if not method.numbers:
            return {}
        best = self.best(degradation, method.label)
        if best is None:
            why = next((row.error for row in self.of(degradation, method.label)), "nothing was evaluated")
            raise DataError(f"no values of {', '.join(n.name for n in method.numbers)} could be tuned: {why}")
        return best.read()


def tune(
    grid: Grid,
    photographs: Sequence[Photograph],
    bench: Bench,
    logged: Log,
    step: Callable[[str], Any],
    *,
    unfit: Collection[tuple[int, int]] = (),
) -> None:
    """Tune what is to be tuned of every method under every degradation; `step` is told of each evaluation.

    `unfit` are pairs that are left out, by their places in the grid.
    """
    if grid.tuning is None:
        return
    for i, operator in enumerate(grid.operators):
        for j, method in enumerate(grid.methods):
            if method.numbers and (i, j) not in unfit:
                trial = _Trial(grid.tuning, operator, method, photographs, bench, logged, step)
                search(trial, method.numbers, grid.tuning.evaluations)
                _say(logged, operator, method)


@dataclass(frozen=True, eq=False)
class _Trial:
    """The score of values of one method under one degradation; what is logged is not computed again."""

    tuning: Tuning
    operator: Operator
    method: Method
    photographs: Sequence[Photograph]
    bench: Bench
    logged: Log
    step: Callable[[str], Any]

    def __call__(self, values: Values) -> float:
        text = json.dumps(values)
        rows = self.logged.of(self.operator.label, self.method.label)
        known = next((row for row in rows if row.values == text and not row.error), None)
        if known is None:
            self.step(f"tuning {self.method.label}, {self.operator.label}: {tuned_text(values)}")
            known = self._evaluated(values, text)
            self.logged.add(known)
        return -math.inf if known.error else known.figure

    def _evaluated(self, values: Values, text: str) -> Evaluation:
        start, error, figure = time.perf_counter(), "", math.nan
        try:
            figure = self._mean(values)
        except Exception as failed:
            error = one_line(failed)
        if not error and math.isnan(figure):
            error = f"the mean {self.tuning.metric} is not a number"
        labels = (self.operator.label, self.method.label)
        return Evaluation(*labels, text, self.tuning.metric, figure, time.perf_counter() - start, error)

    def _mean(self, values: Values) -> float:
        figures = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what the chosen values warn of is noted in the cells
            for measured, seed in self._measurements:
                x = self.bench.restored(measured, self.method, values, seed).x.clamp(0, 1)
                figures.append(self.bench.figures(x, measured)[self.tuning.metric])
        return sum(figures) / len(figures)

    @cached_property
    def _measurements(self) -> list[tuple[Measured, int]]:
        return [
            (self.bench.measured(photograph, index, self.operator, seed), seed)
            for index, photograph in enumerate(self.photographs)
            for seed in self.tuning.seeds
        ]


def at_end(numbers: Sequence[Number], values: Mapping[str, Any]) -> list[str]:
    """The names of the numbers whose value is at an end of its range: a better one may lie beyond."""
    return [n.name for n in numbers if n.name in values and values[n.name] in n.ends()]


def one_line(error: Exception) -> str:
    """An error in a line: rgmkit's own say what is wrong, others are named.

    >>> one_line(ZeroDivisionError("division by zero"))
    'ZeroDivisionError: division by zero'
    """
    text = " ".join(str(error).split())
    return text if isinstance(error, RgmkitError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def _say(logged: Log, operator: Operator, method: Method) -> None:
    best = logged.best(operator.label, method.label)
    for name in at_end(method.numbers, best.read()) if best else ():
        log.warning(f"{method.label}, {operator.label}: the best {name} is at an end of its range, widen it")


def _read(path: Path) -> Iterator[Evaluation]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                texts = (row["degradation"], row["method"], row["values"], row["metric"])
                yield Evaluation(*texts, float(row["figure"]), float(row["seconds"]), row["error"])
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path} is damaged: remove it, and the methods are tuned again") from error
