"""Tune the parameters of each method under each degradation, on training images; log every evaluation."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rgmkit.core.metric import Metric
from rgmkit.errors import DataError, describe_cause, escape_controls
from rgmkit.experiments.config import LabelledDegradation, Tuning
from rgmkit.experiments.evaluate import Evaluator, Measurement
from rgmkit.experiments.line_search import Values, search
from rgmkit.experiments.methods import Method, format_values
from rgmkit.experiments.photographs import Photograph
from rgmkit.experiments.plan import Plan
from rgmkit.experiments.serialize import quote_formula, unquote_formula
from rgmkit.runtime.files import write_aside
from rgmkit.runtime.foreign_code import contain
from rgmkit.runtime.processes import ProcessGroup

NAME = "tuning.csv"
# The columns keep the names of version 0.1: "figure" is the value of the metric.
COLUMNS = ("degradation", "method", "values", "metric", "figure", "seconds", "error")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """A row of tuning.csv: the values tried, and the mean of the metric on the training images, or the error."""

    degradation: str
    method: str
    values: str
    metric: str
    value: float
    seconds: float
    error: str = ""

    def read(self) -> Values:
        """Parse the values that were tried, by the paths of their options."""
        values: Values = json.loads(self.values)
        return values


class TuningLog:
    """The trials of a run, in `folder/tuning.csv`; each is written as soon as it is done."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.trials = _read(self.path) if self.path.exists() else []

    def add(self, trial: Trial) -> None:
        """Append a trial; it replaces a failed one with the same values."""
        same = (trial.degradation, trial.method, trial.values)
        self.trials = [t for t in self.trials if (t.degradation, t.method, t.values) != same] + [trial]
        with write_aside(self.path) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(map(quote_formula, map(str, astuple(trial))) for trial in self.trials)

    def trials_of(self, degradation: str, method: str) -> list[Trial]:
        """Return the trials of a method under a degradation."""
        return [trial for trial in self.trials if (trial.degradation, trial.method) == (degradation, method)]

    def best(self, degradation: str, method: str, *, higher_is_better: bool) -> Trial | None:
        """Return the best trial, the first one in case of a tie; None if all failed."""
        trials = [trial for trial in self.trials_of(degradation, method) if not trial.error]
        choose = max if higher_is_better else min
        return choose(trials, key=lambda trial: trial.value, default=None)

    def choose(self, degradation: str, method: Method, tuning: Tuning | None) -> Values:
        """Return the best values for a method under a degradation; an empty dict if none of its options is tuned.

        Raises:
            DataError: if no values could be evaluated.
        """
        if tuning is None or not method.parameters:
            return {}
        best = self.best(degradation, method.label, higher_is_better=tuning.metric.higher_is_better)
        if best is None:
            reason = next((t.error for t in self.trials_of(degradation, method.label)), "nothing was evaluated")
            raise DataError(f"no values of {', '.join(p.name for p in method.parameters)} could be tuned: {reason}")
        return best.read()


def tune(plan: Plan, processes: ProcessGroup, *, progress: bool) -> Callable[[str, Method], Values]:
    """Tune every method that has options to tune, in the main process; the others wait.

    Returns:
        A function that returns the chosen values for a degradation, given by its label, and a method.
    """
    tuning = plan.grid.tuning
    if tuning is not None and processes.is_main:
        with tqdm(unit="evaluation", disable=not progress, leave=False, mininterval=0.5) as bar:
            _tune_all(plan, tuning, processes, bar)
    processes.wait()
    logged = TuningLog(plan.folder)
    return lambda degradation, method: logged.choose(degradation, method, tuning)


def _tune_all(plan: Plan, tuning: Tuning, processes: ProcessGroup, bar: Any) -> None:
    evaluator = Evaluator(processes.device, {tuning.metric_label: tuning.metric})
    logged = TuningLog(plan.folder)
    for i, operator in enumerate(plan.grid.operators):
        for j, method in enumerate(plan.grid.methods):
            if method.parameters and method.covers(operator.label) and (i, j) not in plan.unfit:
                score = _Score(tuning, operator, method, plan.training, evaluator, logged, bar)
                search(score, method.parameters, tuning.evaluations)
                _warn_of_ends(logged, operator, method, tuning.metric)


@dataclass(frozen=True, eq=False)
class _Score:
    """Score values for a method under a degradation, higher is better; values in the log are not evaluated again."""

    tuning: Tuning
    operator: LabelledDegradation
    method: Method
    photographs: Sequence[Photograph]
    evaluator: Evaluator
    logged: TuningLog
    bar: Any

    def __call__(self, values: Values) -> float:
        text = json.dumps(values)
        trials = self.logged.trials_of(self.operator.label, self.method.label)
        trial = next((trial for trial in trials if trial.values == text and not trial.error), None)
        if trial is None:
            name = f"tuning {self.method.label}, {self.operator.label}: {format_values(values)}"
            self.bar.set_description_str(escape_controls(name), refresh=False)
            self.bar.update()
            trial = self._try(values, text)
            self.logged.add(trial)
        if trial.error:
            return -math.inf
        return trial.value if self.tuning.metric.higher_is_better else -trial.value

    def _try(self, values: Values, text: str) -> Trial:
        start, error, mean = time.perf_counter(), "", math.nan
        try:
            with contain():
                mean = self._mean(values)
        except Exception as failed:
            error = describe_cause(failed)
        if not error and math.isnan(mean):
            error = f"the mean {self.tuning.metric_label} is not a number"
        labels = (self.operator.label, self.method.label)
        return Trial(*labels, text, self.tuning.metric_label, mean, time.perf_counter() - start, error)

    def _mean(self, values: Values) -> float:
        results = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the cells record the warnings of the chosen values
            for measurement, seed in self._measurements:
                x = self.evaluator.restore(measurement, self.method, values, seed).x.clamp(0, 1)
                results.append(self.evaluator.score(x, measurement)[self.tuning.metric_label])
        return sum(results) / len(results)

    @cached_property
    def _measurements(self) -> list[tuple[Measurement, int]]:
        return [
            (self.evaluator.measure(photograph, index, self.operator, seed), seed)
            for index, photograph in enumerate(self.photographs)
            for seed in self.tuning.seeds
        ]


def _warn_of_ends(logged: TuningLog, operator: LabelledDegradation, method: Method, metric: Metric) -> None:
    best = logged.best(operator.label, method.label, higher_is_better=metric.higher_is_better)
    values = best.read() if best else {}
    for p in method.parameters:
        if p.name in values and values[p.name] in p.ends():
            log.warning(f"{method.label}, {operator.label}: the best {p.name} is at an end of its range, widen it")


def _read(path: Path) -> list[Trial]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_read_trial(row) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{path} is damaged: remove it, and the methods are tuned again") from error


def _read_trial(row: dict[str, Any]) -> Trial:
    if None in row or None in row.values():
        raise ValueError("a row of another length")
    given: dict[str, Any] = {name: unquote_formula(row[name]) for name in COLUMNS if name not in ("figure", "seconds")}
    trial = Trial(**given, value=float(row["figure"]), seconds=float(row["seconds"]))
    if not isinstance(trial.read(), dict) or (math.isnan(trial.value) and not trial.error):
        raise ValueError("no values")
    return trial
