"""Problems, solvers and solutions: `min_x 1/2 |(A x - y) / noise|^2 + weight * g(x)`, and related problems."""

from __future__ import annotations

import math
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.accuracy import collect_shortfalls
from rgmkit.core.applying import apply_operator
from rgmkit.core.degradation import Degradation
from rgmkit.core.noise import NoiseLike
from rgmkit.core.noise_estimation import rounding_step
from rgmkit.core.operator_levels import OperatorLevel, find_operator_levels
from rgmkit.core.presentation import describe_solution, plot_solution, save_solution, solution_html, solution_png
from rgmkit.core.printable import Printable
from rgmkit.core.prior import NoPrior, Prior, RestoringPrior
from rgmkit.core.random import Randomness, randn, seeded
from rgmkit.core.scale import OperatorScale, measure_scale
from rgmkit.deprecation import RenamedAttribute
from rgmkit.errors import AccuracyWarning, ConfigError, IncompatibleError

if TYPE_CHECKING:
    from rgmkit.images import Written

Callback = Callable[[int, int, Tensor], None]
"""Called as `callback(step, steps, x)` after each step; `x` is the estimate so far."""


def shift_steps(callback: Callback | None, i: int, count: int) -> Callback | None:
    """Wrap a callback so that the steps of batch `i` of `count` are counted over all batches."""
    if callback is None:
        return None
    return lambda step, steps, x: callback(i * steps + step, count * steps, x)


@dataclass(frozen=True, eq=False)
class Problem:
    """Restore images from measurements `y`, or, without `y`, generate images from the prior.

    Attributes:
        prior: of the images.
        shape: of the images, (B, C, H, W).
        y: the measurements, batch first; None to generate.
        degradation: with which `y` was measured; None to generate.
        images: from which generation starts, degraded, in place of noise.
    """

    prior: Prior
    shape: tuple[int, ...]
    y: Tensor | None = None
    degradation: Degradation | None = None
    images: Tensor | None = None

    @staticmethod
    def from_measurement(y: Tensor, degradation: Degradation, prior: Prior) -> Problem:
        """Return the problem of restoring `y`, after checking that the degradation fits its shape.

        Raises:
            IncompatibleError: if `A` maps an image of `image_shape(y.shape)` to another shape than that of `y`, or
                `embed(y)` does not have the shape of the image.
        """
        shape = tuple(degradation.image_shape(tuple(y.shape)))
        with torch.no_grad():
            measured_shape = tuple(apply_operator(degradation, y.new_zeros(1, *shape[1:])).shape[1:])
        if measured_shape != tuple(y.shape[1:]):
            raise IncompatibleError(
                f"{degradation.title} maps an image of shape {shape[1:]} to {measured_shape}, but the "
                f"measurement has {tuple(y.shape[1:])}: check the size of the measurement and the "
                f"operator's image_shape"
            )
        with torch.no_grad():
            embedded_shape = tuple(degradation.embed(y.new_zeros(1, *measured_shape)).shape[1:])
        if embedded_shape != shape[1:]:
            raise IncompatibleError(
                f"{degradation.title}.embed maps a measurement {measured_shape} to {embedded_shape}, but the image is "
                f"{shape[1:]}: give the operator an embed that returns the image's shape"
            )
        return Problem(prior, shape, y, degradation)

    @cached_property
    def scale(self) -> OperatorScale:
        """The scale of a linear operator, measured on first use and then cached."""
        assert self.y is not None and self.degradation is not None  # a restoration
        return measure_scale(self.degradation, self.shape, self.y)

    def lost_at(self, weight: float) -> float:
        """Return the fraction of white noise e that the prox for `y = 0` leaves, `<e, prox(e)> / |e|^2`.

        With the singular values h_i of A it is the mean of `1 / (1 + weight h_i^2)`: the fraction of the image of which
        `y` tells less than a prior does at this weight. It is computed once for each weight.
        """
        found: dict[float, float] = vars(self).setdefault("_lost_at", {})
        if weight not in found:
            assert self.y is not None and self.degradation is not None  # a restoration
            e = randn((1, *self.shape[1:]), generator=seeded(0), dtype=self.y.real.dtype).to(self.y.device)
            with torch.no_grad(), collect_shortfalls():  # a prox that stops early will do
                left = self.degradation.prox(e, torch.zeros_like(self.y[:1]), weight)
            found[weight] = float((e * left).sum() / e.square().sum())
        return found[weight]

    @cached_property
    def rounding_step(self) -> float | None:
        """The step to which `y` was rounded, as in a file of 8 or 16 bits; None if it was not."""
        assert self.y is not None  # a restoration
        return rounding_step(self.y)

    @cached_property
    def operator_levels(self) -> list[OperatorLevel]:
        """Levels of the network that are measurements of this degradation, by increasing noise; often none."""
        assert self.y is not None and self.degradation is not None  # a restoration
        if not isinstance(self.prior, RestoringPrior):
            return []
        x = torch.rand((1, *self.shape[1:]), generator=seeded(0)).to(self.y.real)
        return find_operator_levels(self.prior, self.degradation, x)

    def repeat(self, copies: int) -> Problem:
        """Return the problem of restoring every image `copies` times in one batch, with the same scale."""
        assert self.y is not None  # a restoration
        return self.with_measurement(torch.cat([self.y] * copies))

    def with_measurement(self, y: Tensor) -> Problem:
        """Return the problem of restoring other measurements of the same kind, with the same scale."""
        other = replace(self, shape=(len(y), *self.shape[1:]), y=y)
        if self.degradation is not None and self.degradation.linear:
            vars(other)["scale"] = self.scale  # measured once
        vars(other)["operator_levels"], vars(other)["rounding_step"] = self.operator_levels, self.rounding_step
        return other

    measured = RenamedAttribute("from_measurement")


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """The estimate `x`, its cost, and its history.

    Attributes:
        x: the estimate, in the type and layout of the measurement.
        nfe: network evaluations per image.
        seconds: wall time of the solver.
        trace: a dict of numbers for each step: "residual" (root mean square of A x - y), "sigma", …
        notes: for the user: automatic choices, such as an estimated noise std, and inaccurate results.
        noise: the noise that was used, a std or a noise model; a tuple of those of all images if it was estimated for
            each; None without a measurement.
        std: standard deviation of each pixel over the samples, in units of [0, 1] or, if given, of the range; None
            without samples.
        samples: all samples, along the first axis; `x` is their mean. See also `interval`.
        y: the measurement, as it was given to `restore`; None of a problem that was solved without it.
        degradation, prior, solver: with which it was restored, as `repr`; the prior with its weight, that of the first
            image if they differ.
        axes, range: those that were given to `restore`.
    """

    x: Any
    nfe: int = 0
    seconds: float = 0.0
    trace: list[dict[str, float]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    noise: NoiseLike | tuple[NoiseLike, ...] = None
    std: Any = None
    samples: Any = None
    y: Any = None
    degradation: str = ""
    prior: str = ""
    solver: str = ""
    axes: str | None = None
    range: tuple[float, float] | None = None

    def show(self) -> None:
        """Plot measurement and estimate side by side with matplotlib, and the standard deviation if there is one.

        Of several images the first is shown. Complex values are shown by their magnitude.

        Raises:
            DataError: if there is no picture, as for vectors.
        """
        plot_solution(self)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Written:
        """Write the estimate in the format that the ending names, see `rgmkit.write`; .npy takes any shape.

        Raises:
            DataError: if the file exists and `overwrite` is False, or the format does not store the estimate.

        >>> import rgmkit, tempfile
        >>> solution = rgmkit.restore(torch.full((1, 8, 8), 0.5), "gaussian-noise:noise=0.1", "tv")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     solution.save(f"{folder}/estimate.png").bits
        8
        """
        return save_solution(self, path, overwrite=overwrite)

    def interval(self, coverage: float = 0.8) -> tuple[Any, Any]:
        """Return the ends of a credible interval of each pixel, in the type and layout of `x`, from the samples.

        They are the values of rank `(1 - coverage)/2 (N + 1)` from below and from above among the N samples,
        interpolated between ranks. If truth and samples have the same law, the true value lies between them with
        probability `coverage`, whatever N.

        Raises:
            ConfigError: if there are no samples, or too few: N + 1 < 2 / (1 - coverage).
        """
        if self.samples is None or not 0 < coverage < 1:
            raise ConfigError(f"an interval of coverage {coverage}: give samples= to restore, and a coverage in (0, 1)")
        needed = math.ceil(2 / (1 - coverage) - 1 - 1e-9)
        if len(self.samples) < needed:
            raise ConfigError(f"an interval of coverage {coverage} needs {needed} samples, not {len(self.samples)}")
        samples = self.samples
        if (torch.is_complex if isinstance(samples, Tensor) else np.iscomplexobj)(samples):
            raise ConfigError("complex values have no order, and no interval: take those of their parts from samples")
        values = samples.cpu().double().numpy() if isinstance(samples, Tensor) else samples.astype(float)
        ends = np.quantile(values, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0, method="weibull")
        if isinstance(samples, Tensor):
            ends = torch.from_numpy(ends if samples.is_floating_point() else np.rint(ends)).to(samples)
        else:
            ends = (ends if samples.dtype.kind == "f" else np.rint(ends)).astype(samples.dtype)
        return ends[0], ends[1]

    def __repr__(self) -> str:
        return describe_solution(self)

    def _repr_png_(self) -> bytes | None:
        return solution_png(self)

    def _repr_html_(self) -> str:
        return solution_html(self)


class Solver(Printable, ABC):
    """A method that solves a `Problem`. A subclass defines `_solve` and declares what it needs.

    Attributes:
        needs: what the prior must provide.
        instead: any one of these suffices in place of `needs`.
        needs_linear: whether it uses the adjoint or the prox of the degradation.
        needs_noise: whether it uses the noise std of the measurement.
        differentiable: whether its estimate can be differentiated with respect to the measurement and the operator.
        generates: whether it solves problems without a measurement.
        starts_from_images: whether it generates from images, degraded to the level of its option `start`.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    instead: ClassVar[frozenset[str]] = frozenset()
    needs_linear: ClassVar[bool] = True
    needs_noise: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    generates: ClassVar[bool] = False
    starts_from_images: ClassVar[bool] = False

    @abstractmethod
    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        """Solve a problem that `check` has accepted; `solve` fills in `seconds`."""

    @final
    def solve(
        self,
        problem: Problem,
        *,
        generator: Randomness = None,
        callback: Callback | None = None,
        differentiable: bool = False,
    ) -> Solution:
        """Solve `problem`, drawing from `generator` only.

        With `differentiable` the graph is kept, unless gradients are disabled where this is called.

        Raises:
            IncompatibleError: if the prior or the degradation lacks what this solver needs, or a gradient is wanted
                that it does not have.
            ConfigError: if the estimate holds NaN or infinite values.

        Warns:
            AccuracyWarning: once for each prox or pseudo-inverse that stopped early, with its worst residual.
        """
        self.check(problem)
        if differentiable:
            self.check_differentiable(problem.prior)
        start, graph = time.perf_counter(), differentiable and torch.is_grad_enabled()
        with torch.set_grad_enabled(graph), collect_shortfalls() as shortfalls:
            solution = self._solve(problem, generator=generator, callback=callback or _ignore)
        if not bool(solution.x.isfinite().all()):
            raise ConfigError(
                f"{self!r} found no finite image: its options, or those of the prior or the noise, are too small or "
                f"too large for numbers of {solution.x.dtype}"
            )
        messages = shortfalls.messages()
        for message in messages:
            warnings.warn(message, AccuracyWarning, stacklevel=3)
        return replace(
            solution, seconds=time.perf_counter() - start, notes=solution.notes + messages, solver=repr(self),
            prior=_describe_prior(problem),
        )  # fmt: skip

    @final
    def check(self, problem: Problem) -> None:
        """Raise an IncompatibleError unless this solver can solve `problem`."""
        name, prior = type(self).__name__, type(problem.prior).__name__
        missing = frozenset() if self.instead & problem.prior.provides else self.needs - problem.prior.provides
        if missing and problem.y is None and "restore" in missing:
            raise IncompatibleError(f"the prior {prior} generates no images: give a generative model, such as digits")
        if missing and isinstance(problem.prior, NoPrior):
            raise IncompatibleError(
                f"solver {name} needs a prior with {', '.join(sorted(self.needs))}, and there is none: give a "
                f"prior, such as tv or a trained model, or use the solver pinv"
            )
        if missing:
            raise IncompatibleError(
                f"solver {name} needs a prior with {', '.join(sorted(self.needs))}; "
                f"{prior} has {', '.join(sorted(problem.prior.provides)) or 'none of these'}: "
                f"use another solver or prior"
            )
        if problem.y is None and not self.generates:
            raise IncompatibleError(f"solver {name} restores a measurement and cannot generate: use cascade")
        if problem.images is not None and not self.starts_from_images:
            raise IncompatibleError(f"solver {name} generates from noise alone: leave out images, or use cascade")
        if self.needs_linear and problem.degradation is not None and not problem.degradation.linear:
            linearisable = problem.degradation.linearisable
            remedy = "gauss-newton, which linearises it" if linearisable else "one-shot with a network, such as digits"
            if problem.degradation.default_solver:
                remedy = f"{problem.degradation.default_solver}, or {remedy}"
            raise IncompatibleError(
                f"solver {name} needs a linear degradation, and {problem.degradation.title} is not: use {remedy}"
            )

    def check_differentiable(self, prior: Prior) -> None:
        """Raise an IncompatibleError if the estimate cannot be differentiated with this solver and prior."""
        for part, what in ((self, "solver"), (prior, "prior")):
            if not part.differentiable:
                raise IncompatibleError(
                    f"the {what} {type(part).__name__} is not differentiable: use another {what}, or leave out "
                    f"differentiable=True"
                )


def _describe_prior(problem: Problem) -> str:
    """Describe the prior with the weight that the solver used; empty if there is none."""
    if isinstance(problem.prior, NoPrior):
        return ""
    with torch.no_grad():  # a solver that took the default weight has measured the scale
        return repr(problem.prior.with_default_weight(problem) if "scale" in vars(problem) else problem.prior)


def _ignore(step: int, steps: int, x: Tensor) -> None:
    """Stand in for the callback where none is given."""
