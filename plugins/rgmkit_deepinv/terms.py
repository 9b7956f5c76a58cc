"""The two terms of a problem as deepinv's iterations call them, and what their defaults are made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from deepinv import optim
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import operator_norm
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness, seeded
from rgmkit.core.solver import Problem
from rgmkit.solvers.measurement import gain, loss_std, noise_of, positive, start_std
from rgmkit_deepinv.objects import Plugged
from rgmkit_deepinv.priors import ExplicitPrior

UNWEIGHTED = (
    "no weight is known that suits this prior of deepinv, it counts with 1: "
    "give one, rgmkit_deepinv.objects.from_deepinv(prior, weight=…)"
)


@dataclass(frozen=True, eq=False)
class Measured:
    """What the default steps and weights are made from, the same for every batch and seed.

    Attributes:
        degradation, shape, y: of the problem.
    """

    degradation: Degradation
    shape: tuple[int, ...]
    y: Tensor

    @property
    def noise(self) -> float:
        """The noise std, 1e-3 at the least."""
        return noise_of(self.degradation)

    @cached_property
    def mean(self) -> float:
        """`|A|_F^2 / n`, the mean squared singular value over the n pixels, from white noise."""
        return gain(self.degradation, self.shape, self.y)

    @cached_property
    def largest(self) -> float:
        """`|A|^2`, the largest squared singular value, by power iteration."""
        degradation, y = self.degradation, self.y

        def normal(x: Tensor) -> Tensor:
            return degradation.adjoint(degradation.A(x))

        found = operator_norm(normal, self.shape, generator=seeded(1), dtype=y.real.dtype, device=y.device)
        return positive(found, degradation)


class Fidelity(optim.DataFidelity):
    """`f(x) = 1/2 |(A x - y) / noise|^2`; deepinv's own would take the adjoint of y anew in each gradient.

    `error` is the latest `A x - y` of a gradient, for the trace.
    """

    error: Tensor | None = None

    def __init__(self, degradation: Degradation, noise: float) -> None:
        super().__init__()
        self.degradation, self.noise = degradation, noise

    def grad(self, x: Tensor, y: Tensor, physics: None) -> Tensor:
        """`A^T (A x - y) / noise^2`."""
        self.error = self.degradation.A(x) - y
        return self.degradation.adjoint(self.error) / self.noise**2

    def prox(self, x: Tensor, y: Tensor, physics: None, *, gamma: float) -> Tensor:
        """`argmin_u gamma f(u) + 1/2 |u - x|^2`."""
        return self.degradation.prox(x, y, gamma / self.noise**2)


class Believed(optim.Prior):
    """The prior of a problem: its prox; that of an explicit prior with the weight for this noise and operator.

    `weight` is that weight, None for another prior; `notes` say where an explicit prior has none.
    """

    weight: float | None = None
    notes: tuple[str, ...] = ()

    def __init__(self, problem: Problem, measured: Measured, generator: Randomness) -> None:
        super().__init__()
        self.problem, prior = problem, problem.prior
        if isinstance(prior, ExplicitPrior):
            prior = prior.weighted(measured.noise, measured.mean)
            self.weight, self._prox = prior.weight, prior.run_prox(problem.shape)
            if prior.weight is None:
                self.notes = (UNWEIGHTED,)
        else:
            self._prox = lambda x, gamma: prior.prox(x, gamma, generator=generator)

    @property
    def std(self) -> float | None:
        """The noise that a denoiser is to take off in a splitting, also for what is lost; None for other priors."""
        prior = self.problem.prior
        return start_std(self.problem, loss_std(prior)) if isinstance(prior, (RestoringPrior, Plugged)) else None

    def prox(self, x: Tensor, sigma: None, *, gamma: float) -> Tensor:
        """What the prior makes of `x` in a step of size gamma."""
        return self._prox(x, gamma)
