"""Where cells are computed: a picture, its measurement, a restoration, its figures."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rgmkit import images
from rgmkit.config import metric
from rgmkit.core.degradation import Degradation
from rgmkit.core.random import Streams
from rgmkit.core.solver import Callback, Solution
from rgmkit.experiments.cells import Cell
from rgmkit.experiments.grid import Operator
from rgmkit.experiments.line_search import Values
from rgmkit.experiments.methods import Method
from rgmkit.experiments.photographs import Photograph
from rgmkit.experiments.result import Record
from rgmkit.images.array_layout import check_finite
from rgmkit.inference import restore
from rgmkit.resolve import usable_size
from rgmkit.runtime.device import synchronize
from rgmkit.runtime.memory import peak_memory
from rgmkit.runtime.modules import to_device

POINTS = 60  # of a record's path, about


@dataclass(frozen=True, eq=False)
class Measured:
    """A picture, what was measured of it, and the measurement in the shape of the picture."""

    degradation: Degradation
    truth: Tensor
    y: Tensor
    guess: Tensor


class Bench:
    """Computes cells on a device; the last picture and the last measurement are kept for the next cell.

    Args:
        device: where degradations and networks are evaluated.
        metrics: names of the figures.
    """

    def __init__(self, device: torch.device, metrics: Sequence[str]) -> None:
        self.device, self.metrics = device, {name: metric(name) for name in metrics}
        self._picture: tuple[Photograph, Tensor] | None = None
        self._measured: tuple[tuple[object, ...], Measured] | None = None
        self._written: set[Path] = set()

    def compute(self, cell: Cell, values: Values, folder: Path) -> Record:
        """The record of a cell, its pictures put into `folder`.

        Raises:
            Exception: whatever the picture, the degradation, the prior or the solver raise.
        """
        measured = self.measured(cell.photograph, cell.index, cell.operator, cell.seed)
        watch = Watch(measured.truth)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", UserWarning)
            before = self.figures(measured.guess, measured)
            with peak_memory(self.device) as peak:
                solution = self.restored(measured, cell.method, values, cell.seed, watch)
                end = time.perf_counter()
            check_finite(solution.x, "the restoration")
            x = solution.x.clamp(0, 1)
            after = self.figures(x, measured)
        seconds = max(0.0, solution.seconds - watch.spent)
        said = [" ".join(str(w.message).split()) for w in warned if issubclass(w.category, UserWarning)]
        return cell.record(
            before=before,
            after=after,
            nfe=solution.nfe,
            seconds=seconds,
            memory_mb=peak.mib,
            path=watch.path(end, seconds, float(metric("psnr")(x, measured.truth))),
            trace=solution.trace,
            pictures=self._pictures(cell, measured, x, folder),
            notes=list(dict.fromkeys([*solution.notes, *said])),
        )

    def measured(self, photograph: Photograph, index: int, operator: Operator, seed: int) -> Measured:
        """The measurement of a photograph, with the noise of (seed, index).

        Raises:
            DataError: if the picture cannot be read.
            IncompatibleError: if the degradation cannot take it.
        """
        key = (photograph, index, operator, seed)
        if self._measured is None or self._measured[0] != key:
            degradation = to_device(operator.degradation, self.device)
            truth = usable(self._read(photograph), degradation).to(self.device)
            with torch.no_grad():
                y = degradation(truth, generator=Streams(seed, [index]))
                self._measured = key, Measured(degradation, truth, y, degradation.embed(y).clamp(0, 1))
        return self._measured[1]

    def restored(
        self, measured: Measured, method: Method, values: Values, seed: int, callback: Callback | None = None
    ) -> Solution:
        """The restoration of a measurement by a method with these values of its tuned numbers."""
        prior, solver = method.build(values)
        prior = None if prior is None else prior.to(self.device)
        return restore(
            measured.y,
            measured.degradation,
            prior,
            solver=solver,
            seed=seed,
            tile=method.tile,
            callback=callback,
            progress=False,
        )

    def figures(self, x: Tensor, measured: Measured) -> dict[str, float]:
        """The figures of an image in [0, 1]."""
        return {name: float(measure(x, measured.truth)) for name, measure in self.metrics.items()}

    def _read(self, photograph: Photograph) -> Tensor:
        if self._picture is None or self._picture[0] != photograph:
            self._picture = photograph, photograph.read()
        return self._picture[1]

    def _pictures(self, cell: Cell, measured: Measured, x: Tensor, folder: Path) -> dict[str, str]:
        """Write the pictures of a cell; two of them are those of other methods, too, and are written once."""
        size = "x".join(map(str, measured.truth.shape[-2:]))
        found = {
            "truth": (f"pictures/{cell.picture}_{size}.png", measured.truth),
            "measured": (f"pictures/{cell.measured}.png", measured.guess),
            "restored": (f"pictures/{cell.key}.png", x),
        }
        for name, image in found.values():
            if folder / name not in self._written:
                images.write(folder / name, image)
                self._written.add(folder / name)
        return {kind: name for kind, (name, _) in found.items()}


class Watch:
    """A solver's callback: the PSNR after its steps, `POINTS` of them at the most, and the time that takes."""

    def __init__(self, truth: Tensor) -> None:
        self.truth, self.spent = truth, 0.0
        self._points: list[tuple[float, float]] = []

    def __call__(self, step: int, steps: int, x: Tensor) -> None:
        """Measure, if this step is one of those."""
        if x.shape != self.truth.shape or (step % math.ceil(steps / POINTS) and step != steps):
            return
        synchronize(x.device)  # what is still computed is the solver's time
        start = time.perf_counter()
        figure = float(metric("psnr")(x.clamp(0, 1), self.truth))
        self._points.append((start - self.spent, figure))
        self.spent += time.perf_counter() - start

    def path(self, end: float, seconds: float, last: float) -> list[tuple[float, float]]:
        """(seconds, PSNR) from the start of a solver that took `seconds` and ended at `end` with the PSNR `last`."""
        start = end - self.spent - seconds
        points = [(min(seconds, max(0.0, when - start)), figure) for when, figure in self._points]
        return points if points and points[-1][1] == last else [*points, (seconds, last)]


def usable(x: Tensor, degradation: Degradation) -> Tensor:
    """The top left part of a picture that the degradation can take: downsampling by 2 takes even sides."""
    height, width = usable_size(degradation, tuple(x.shape))
    return x[..., :height, :width].contiguous()
