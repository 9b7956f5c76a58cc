"""From a problem to a solution: `min_x 1/2 |(A x - y) / noise|^2 + weight * g(x)`, and its relatives."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from rgmkit.core.accuracy import collect_shortfalls
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import NoPrior, Prior
from rgmkit.core.random import Randomness
from rgmkit.errors import AccuracyWarning, IncompatibleError

Callback = Callable[[int, int, Tensor], None]
"""Called as `callback(step, steps, x)` after each step; `x` is the image so far."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What is asked for: images of `shape` that agree with `y`, or, without a `y`, with the prior alone.

    Attributes:
        prior: what is believed of the image.
        shape: of the answer, (B, C, H, W).
        y: the measurement, batch first; None to generate.
        degradation: what made `y` of the image; None to generate.
    """

    prior: Prior
    shape: tuple[int, ...]
    y: Tensor | None = None
    degradation: Degradation | None = None

    @staticmethod
    def measured(y: Tensor, degradation: Degradation, prior: Prior) -> Problem:
        """The problem of restoring `y`; checks that the operator's shapes agree with it.

        Raises:
            IncompatibleError: if `A` of an image of `image_shape(y.shape)` has not the shape of `y`, or
                `embed(y)` not that of the image.
        """
        shape = tuple(degradation.image_shape(tuple(y.shape)))
        with torch.no_grad():
            made = tuple(degradation.A(y.new_zeros(1, *shape[1:])).shape[1:])
        if made != tuple(y.shape[1:]):
            raise IncompatibleError(
                f"{degradation.title} maps an image of shape {shape[1:]} to {made}, but the "
                f"measurement has {tuple(y.shape[1:])}: check the size of the measurement and the "
                f"operator's image_shape"
            )
        with torch.no_grad():
            guess = tuple(degradation.embed(y.new_zeros(1, *made)).shape[1:])
        if guess != shape[1:]:
            raise IncompatibleError(
                f"{degradation.title}.embed makes {guess} of a measurement {made}, but the image is "
                f"{shape[1:]}: give the operator an embed with a first guess of the image's shape"
            )
        return Problem(prior, shape, y, degradation)


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """The answer `x`, what it cost, and how it was reached.

    Attributes:
        x: the image, in the type and layout that was asked with.
        nfe: network evaluations per image.
        seconds: wall time of the solver.
        trace: one dict of numbers per step: "residual" |A x - y|, "level", …
        notes: in words for the user, what was done that was not asked for, and what was not accurate.
        noise: the noise std that the measurement counts with; None for a solution of no measurement.
        std: standard deviation of each pixel over the samples, in units of [0, 1]; None without samples.
        samples: all samples, the first axis; `x` is their mean.
    """

    x: Any
    nfe: int = 0
    seconds: float = 0.0
    trace: list[dict[str, float]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    noise: float | None = None
    std: Any = None
    samples: Any = None

    def __repr__(self) -> str:
        x = f"{type(self.x).__name__} {tuple(getattr(self.x, 'shape', ()))}"
        return f"Solution(x: {x}, nfe={self.nfe}, seconds={self.seconds:.3g}, trace: {len(self.trace)} steps)"


class Solver(ABC):
    """A method that answers a `Problem`. A subclass gives `_solve` and says what it needs.

    `needs`: capabilities of the prior. `needs_linear`: whether it uses the degradation's adjoint or
    prox. `needs_noise`: whether it counts with the noise of the measurement. `generates`: whether it
    answers a problem without a measurement. All are checked before anything runs.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    needs_linear: ClassVar[bool] = True
    needs_noise: ClassVar[bool] = True
    generates: ClassVar[bool] = False

    @abstractmethod
    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        """The method itself; `solve` has checked the problem and measures the time."""

    @final
    @torch.no_grad()
    def solve(self, problem: Problem, *, generator: Randomness = None, callback: Callback | None = None) -> Solution:
        """Answer `problem`, drawing from `generator` only.

        Raises:
            IncompatibleError: if the prior or the degradation lacks what this solver needs.

        Warns:
            AccuracyWarning: once for each prox or pseudo-inverse that stopped early, with its worst residual.
        """
        self.check(problem)
        start = time.perf_counter()
        with collect_shortfalls() as shortfalls:
            solution = self._solve(problem, generator=generator, callback=callback or _silent)
        for line in (lines := shortfalls.lines()):
            warnings.warn(line, AccuracyWarning, stacklevel=3)
        return replace(solution, seconds=time.perf_counter() - start, notes=solution.notes + lines)

    @final
    def check(self, problem: Problem) -> None:
        """Raise an IncompatibleError, got and expected, unless this solver can answer `problem`."""
        name, prior = type(self).__name__, type(problem.prior).__name__
        missing = self.needs - problem.prior.provides
        if missing and isinstance(problem.prior, NoPrior):
            raise IncompatibleError(
                f"solver {name} needs a prior with {', '.join(sorted(self.needs))}, and there is none: give a "
                f"prior, such as tv or a trained model, or take solver pinv"
            )
        if missing:
            raise IncompatibleError(
                f"solver {name} needs a prior with {', '.join(sorted(self.needs))}; "
                f"{prior} has {', '.join(sorted(problem.prior.provides)) or 'none of these'}: "
                f"take another solver or prior"
            )
        if problem.y is None and not self.generates:
            raise IncompatibleError(f"solver {name} restores a measurement and cannot generate: use cascade")
        if self.needs_linear and problem.degradation is not None and not problem.degradation.linear:
            raise IncompatibleError(
                f"solver {name} needs a linear degradation, and {problem.degradation.title} is "
                f"not: use one-shot with a trained model, such as --prior digits; an explicit prior cannot serve it"
            )


def _silent(step: int, steps: int, x: Tensor) -> None:
    """The callback of nobody."""
