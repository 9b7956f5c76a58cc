"""Evaluate cells: measure a picture, restore the measurement, apply the metrics."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from rgmkit import images
from rgmkit.core.degradation import Degradation
from rgmkit.core.metric import Metric
from rgmkit.core.random import Streams
from rgmkit.core.solver import Callback, Solution
from rgmkit.errors import describe_cause, escape_controls
from rgmkit.experiments.cells import Cell
from rgmkit.experiments.config import LabelledDegradation
from rgmkit.experiments.line_search import Values
from rgmkit.experiments.methods import Method
from rgmkit.experiments.photographs import Photograph, crop_to_fit
from rgmkit.experiments.plan import Plan
from rgmkit.experiments.result import Record
from rgmkit.experiments.run_folder import CELLS, read_record
from rgmkit.images.array_layout import check_finite
from rgmkit.inference import restore_batch
from rgmkit.runtime.device import empty_cache, synchronize
from rgmkit.runtime.foreign_code import contain
from rgmkit.runtime.memory import peak_memory
from rgmkit.runtime.modules import to_device
from rgmkit.runtime.processes import ProcessGroup

POINTS = 60  # approximate number of iterations at which a metric is recorded
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Measurement:
    """A measurement `y` with its degradation and true image; `embedded` is `y` resampled to the shape of the image."""

    degradation: Degradation
    truth: Tensor
    y: Tensor
    embedded: Tensor


class Evaluator:
    """Evaluate cells on a device, keeping the last picture and the last measurement for the next cell.

    Args:
        device: where degradations, networks and metrics are evaluated.
        metrics: the metrics by label; the first is also recorded along the iterations.
    """

    def __init__(self, device: torch.device, metrics: Mapping[str, Metric]) -> None:
        self.device, self.metrics = device, dict(metrics)
        self.measure, self._read = lru_cache(maxsize=1)(self._measure), lru_cache(maxsize=1)(Photograph.read)
        self._written: set[Path] = set()

    def evaluate(self, cell: Cell, values: Values, folder: Path) -> Record:
        """Evaluate a cell, and write its pictures into `folder`.

        Raises:
            Exception: whatever the picture, the degradation, the prior, the solver or a metric raises.
        """
        measurement = self.measure(cell.photograph, cell.index, cell.operator, cell.seed)
        label, metric = next(iter(self.metrics.items()))
        recorder = PathRecorder(measurement.truth, metric)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", UserWarning)
            before = self.score(measurement.embedded, measurement)
            with peak_memory(self.device) as peak:
                solution = self.restore(measurement, cell.method, values, cell.seed, recorder)
                end = time.perf_counter()
            check_finite(solution.x, "the restoration")
            x = solution.x.clamp(0, 1)
            after = self.score(x, measurement)
        seconds = max(0.0, solution.seconds - recorder.spent)
        messages = [" ".join(str(w.message).split()) for w in warned if issubclass(w.category, UserWarning)]
        return cell.make_record(
            before=before,
            after=after,
            nfe=solution.nfe,
            seconds=seconds,
            memory_mb=peak.mib,
            path=recorder.path(end, seconds, after[label]),
            path_metric=label,
            trace=solution.trace,
            pictures=self._write_pictures(cell, measurement, x, folder),
            notes=list(dict.fromkeys([*solution.notes, *messages])),
        )

    def _measure(self, photograph: Photograph, index: int, operator: LabelledDegradation, seed: int) -> Measurement:
        """Simulate the measurement of a photograph, with noise drawn from (seed, index).

        Raises:
            DataError: if the picture cannot be read.
            IncompatibleError: if the degradation cannot take it.
        """
        degradation = to_device(operator.degradation, self.device)
        truth = crop_to_fit(self._read(photograph), degradation).to(self.device)
        with torch.no_grad():
            y = degradation(truth, generator=Streams(seed, [index]))
            return Measurement(degradation, truth, y, degradation.embed(y).clamp(0, 1))

    def restore(
        self, measurement: Measurement, method: Method, values: Values, seed: int, callback: Callback | None = None
    ) -> Solution:
        """Restore a measurement by a method, with these values of the tuned parameters."""
        prior, solver = method.build(values, measurement.degradation)
        return restore_batch(
            measurement.y,
            measurement.degradation,
            prior.to(self.device),
            solver,
            seed=seed,
            tile=method.tile,
            callback=callback,
            progress=False,
        )

    def score(self, x: Tensor, measurement: Measurement) -> dict[str, float]:
        """Apply the metrics to an image in [0, 1]."""
        return {label: float(metric(x, measurement.truth)) for label, metric in self.metrics.items()}

    def _write_pictures(self, cell: Cell, measurement: Measurement, x: Tensor, folder: Path) -> dict[str, str]:
        """Write the pictures of a cell; those shared with other cells are written once."""
        size = "x".join(map(str, measurement.truth.shape[-2:]))
        pictures = {
            "truth": (f"pictures/{cell.picture}_{size}.png", measurement.truth),
            "measured": (f"pictures/{cell.measurement}.png", measurement.embedded),
            "restored": (f"pictures/{cell.key}.png", x),
        }
        for name, image in pictures.values():
            if folder / name not in self._written:
                images.write(folder / name, image)
                self._written.add(folder / name)
        return {kind: name for kind, (name, _) in pictures.items()}


class PathRecorder:
    """A solver callback that records a metric at about `POINTS` iterations, and measures the time this takes."""

    def __init__(self, truth: Tensor, metric: Metric) -> None:
        self.truth, self.metric, self.spent = truth, metric, 0.0
        self._points: list[tuple[float, float]] = []

    def __call__(self, step: int, steps: int, x: Tensor) -> None:
        """Record the metric if the iteration is due, or is the last."""
        if x.shape != self.truth.shape or (step % math.ceil(steps / POINTS) and step != steps):
            return
        synchronize(x.device)  # queued work counts as the solver's time
        start = time.perf_counter()
        value = float(self.metric(x.clamp(0, 1), self.truth))
        self._points.append((start - self.spent, value))
        self.spent += time.perf_counter() - start

    def path(self, end: float, seconds: float, last: float) -> list[tuple[float, float]]:
        """Return (seconds since the solver's start, value), given its running time, its end and its last value."""
        start = end - self.spent - seconds
        points = [(min(seconds, max(0.0, when - start)), value) for when, value in self._points]
        return points if points and points[-1][1] == last else [*points, (seconds, last)]


def evaluate_cells(
    plan: Plan, processes: ProcessGroup, choose: Callable[[str, Method], Values], *, progress: bool
) -> None:
    """Evaluate this process's share of the cells that are not done, and write each record at once.

    `choose` returns the values of the tuned parameters for a degradation and a method.
    """
    evaluator, noted = Evaluator(processes.device, plan.grid.metrics), set[str]()
    mine = processes.share(plan.cells)
    todo = [cell for cell in mine if not is_done(plan.folder, cell)]
    shown = progress and processes.is_main
    with tqdm(total=len(mine), initial=len(mine) - len(todo), unit="cell", disable=not shown, mininterval=0.5) as bar:
        for cell in todo:
            bar.set_description_str(escape_controls(cell.name))
            if cell.places in plan.unfit:
                record = cell.make_record(error=plan.unfit[cell.places], fits=False)
            else:
                record = _try(evaluator, cell, choose, plan.folder)
            record.write(plan.folder / CELLS)
            with tqdm.external_write_mode():
                _report(cell, record, noted)
            bar.update()
        bar.set_description_str("cells")


def is_done(folder: Path, cell: Cell) -> bool:
    """Whether a cell has been restored and recorded."""
    record = read_record(folder, cell.key)
    return record is not None and record.error is None


def _try(evaluator: Evaluator, cell: Cell, choose: Callable[[str, Method], Values], folder: Path) -> Record:
    try:
        with contain():
            return evaluator.evaluate(cell, choose(cell.operator.label, cell.method), folder)
    except Exception as error:
        log.debug("%s", cell.name, exc_info=True)
        empty_cache(evaluator.device)
        return cell.make_record(error=describe_cause(error))


def _report(cell: Cell, record: Record, noted: set[str]) -> None:
    """Log the error and the notes of a cell, except notes that repeat an earlier one of its method, numbers aside."""
    if record.failed:
        log.warning(f"{cell.name} failed: {record.error}")
    for note in record.notes:
        kind = f"{cell.method.label} {cell.operator.label} {''.join(c for c in note if c.isalpha())}"
        if kind not in noted:
            noted.add(kind)
            log.warning(f"{cell.name}: {note}")
