"""The two terms of a problem as deepinv's iterations call them, and what their defaults are made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

from deepinv import optim
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import operator_norm
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness, seeded
from rgmkit.core.solver import Problem
from rgmkit.solvers.measured import gain, noise_of, positive
from rgmkit_deepinv.priors import ExplicitPrior, Prox

SHARE, LOSS = 0.14, -1 / 3  # of the network's variance that a whole step is, and the power of the gain in it


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
        """`|A|_F^2 / n`, the mean squared singular value over the n pixels, from one white image."""
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
    """`f(x) = 1/2 |(A x - y) / noise|^2`; deepinv's own would take the adjoint of y anew in each gradient."""

    def __init__(self, degradation: Degradation, noise: float) -> None:
        super().__init__()
        self.degradation, self.noise = degradation, noise

    def grad(self, x: Tensor, y: Tensor, physics: None) -> Tensor:
        """`A^T (A x - y) / noise^2`."""
        return self.degradation.adjoint(self.degradation.A(x) - y) / self.noise**2

    def prox(self, x: Tensor, y: Tensor, physics: None, *, gamma: float) -> Tensor:
        """`argmin_u gamma f(u) + 1/2 |u - x|^2`."""
        return self.degradation.prox(x, y, gamma / self.noise**2)


class Believed(optim.Prior):
    """The prior of a problem. Of an explicit prior it is the prox, with the weight for this noise and operator.

    A network `G` takes off the noise of a level, sigma_s, whatever the step; a step goes part of the way:

        x + share (G(R_s(x)) - x),   share = min(1, gamma / (.14 gain^(-1/3) sigma_s^2)),

    with the level s nearest to the noise of the measurement. By Tweedie's formula `(D(x) - x) / sigma_s^2` is the
    gradient of the log density of images with that noise, so that a share of `gamma / sigma_s^2` is a gradient
    step; the factor was chosen on training digits, for denoising, blur, super-resolution and missing pixels.
    """

    def __init__(self, problem: Problem, measured: Measured, generator: Randomness) -> None:
        super().__init__()
        prior = problem.prior
        if isinstance(prior, ExplicitPrior):
            self._prox = prior.weighted(measured.noise, measured.mean).run_prox(problem.shape)
        elif isinstance(prior, RestoringPrior):
            self._prox = _part_of_the_way(prior, measured, generator)
        else:
            self._prox = lambda x, gamma: prior.prox(x, gamma, generator=generator)

    def prox(self, x: Tensor, sigma: None, *, gamma: float) -> Tensor:
        """What the prior makes of `x` in a step of size gamma."""
        return self._prox(x, gamma)


def _part_of_the_way(prior: RestoringPrior, measured: Measured, generator: Randomness) -> Prox:
    level = prior.level_near(measured.degradation.noise)
    whole = SHARE * measured.mean**LOSS * prior.noise(level) ** 2

    def prox(x: Tensor, gamma: float | Tensor) -> Tensor:
        restored = prior.restore(prior.degrade(x, level, generator=generator), level, generator=generator)
        return x.lerp(restored, min(1.0, cast(float, gamma) / whole))

    return prox
