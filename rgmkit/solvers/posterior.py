"""Draw from the posterior by simulating the errors of a restoration."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, cast, final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import dot, per_image
from rgmkit.core.linearised import clip_images
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness, randn
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.solvers.gauss_newton import choose_solver

STEPS = 8  # most levels to generate an image from
HIGHEST = 5.0  # largest noise std, relative to `prior.scale`, from which a denoiser generates an image
LAST, WIDENED = 1.25, 1.1  # for a sampling network: last std relative to that of level 1, and a factor of the errors


@final
class Posterior(Solver):
    """Draw from the posterior: the estimate of another solver plus or minus its error on a simulated measurement.

    With S the estimator, one draw is

        x = S(y) + e,    e = x' - S(A x' + noise'),    x' an image that the network generates,

    and `samples=N` gives N/2 pairs `S(y) + e`, `S(y) - e`, whose mean is the estimate. If x' were a draw from a
    Gaussian prior, A and S linear, e would have exactly the covariance of the error `x - S(y)`, however good or bad S
    is; if S is the posterior mean, these are draws from the posterior (Matheron's rule). For other priors it is a
    parametric bootstrap: it gives the size and the correlation of the errors, not the shape of the posterior. The
    two signs have the bias of S count as part of the error.

    x' is generated from `S(y)`, which is degraded to a high level, down the levels of the network, 8 of them at most. A
    network that samples, with a latent z, restores and re-degrades with new noise, see `resample`; e is multiplied by
    1.1, since a network restores its own images better than real ones. The two constants were chosen on training
    digits. If S draws random numbers, what they change counts as part of the error. Any other network is taken for a
    denoiser, D(x, t) = E[x | x + t n]: x' solves the probability-flow equation `dx = (x - D(x, t)) dt / t`, and is
    then given what D leaves out at the last level, see `draw_residual`.

    Args:
        estimator: the solver S. Default: that without `samples`.

    Source: Hoffman and Ribak, "Constrained realizations of Gaussian fields", 1991; the second-order multistep method
    of Lu et al., "DPM-Solver++", 2022; the trace of the Jacobian as in Ramani et al., "Monte-Carlo SURE", 2008.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    needs_linear: ClassVar[bool] = False

    def __init__(self, *, estimator: Solver | None = None) -> None:
        self.estimator = estimator

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        estimate = self.estimate(problem, generator=generator, callback=callback)
        error = self.simulate_error(problem, estimate.x, generator=generator)
        notes = tuple(dict.fromkeys(estimate.notes + error.notes))
        return replace(estimate, x=estimate.x + error.x, nfe=estimate.nfe + error.nfe, notes=notes)

    def estimate(self, problem: Problem, *, generator: Randomness, callback: Callback | None = None) -> Solution:
        """Solve the problem with the estimator."""
        solver = self.estimator or choose_solver(problem.prior, cast(Degradation, problem.degradation))
        return solver.solve(problem, generator=generator, callback=callback)

    def simulate_error(self, problem: Problem, near: Tensor, *, generator: Randomness) -> Solution:
        """Draw an error of the estimator for each image, with images generated from the estimates `near`."""
        prior, degradation = cast(RestoringPrior, problem.prior), cast(Degradation, problem.degradation)
        samples = draws_samples(prior)
        x, evaluations = (resample if samples else integrate_flow)(prior, near, generator)
        x = x if degradation.linear else clip_images(x)
        y = degradation(x, generator=generator)
        again = self.estimate(problem.with_measurement(y), generator=generator)
        return replace(again, x=(x - again.x) * (WIDENED if samples else 1), nfe=again.nfe + evaluations)


def draws_samples(prior: RestoringPrior) -> bool:
    """Tell whether the network restores to a sample, which depends on a latent z, or to the posterior mean."""
    return prior.generative and prior.latent > 0


def resample(prior: RestoringPrior, x: Tensor, generator: Randomness) -> tuple[Tensor, int]:
    """Generate images from `x` by a network that samples; return them and the number of network evaluations.

    They are degraded to each level from T - 1 to 2 and restored, and then denoised at 1.25 times the std of level 1.
    """
    levels = choose_levels(prior.process.levels)
    for level in levels:
        x = prior.restore(prior.degrade(x, level, generator=generator), level, generator=generator)
    std = LAST * choose_stds(prior)[-1]
    x = prior.denoise(x + std * _noise_like(x, generator), std, generator=generator)
    return x, len(levels) + prior.evaluations(std)


def choose_levels(top: int) -> list[int]:
    """Choose the levels from T - 1 to 2, 7 of them at most, that a network with T levels generates from.

    >>> choose_levels(4), choose_levels(15), choose_levels(1)
    ([3, 2], [14, 12, 10, 8, 6, 4, 2], [])
    """
    return np.linspace(top - 1, 2, max(0, min(STEPS - 1, top - 2))).round().astype(int).tolist()


def integrate_flow(prior: RestoringPrior, near: Tensor, generator: Randomness) -> tuple[Tensor, int]:
    """Generate images from `near` by a denoiser; return them and the number of network evaluations.

    Noise of the first std is added, and the probability flow followed to the last.
    """
    stds = choose_stds(prior)
    x = near + stds[0] * _noise_like(near, generator)
    before, last_step = x, math.inf
    for std, next_std in zip(stds, [*stds[1:], None], strict=True):
        denoised = prior.denoise(x, std, generator=generator)
        if next_std is None:
            break
        step = math.log(std / next_std)
        aim = denoised + step / (2 * last_step) * (denoised - before)
        x = aim + math.exp(-step) * (x - aim)
        before, last_step = denoised, step
    x = denoised + draw_residual(prior, near, stds[-1], generator)
    return x, sum(map(prior.evaluations, stds)) + 2 * prior.evaluations(stds[-1])


def choose_stds(prior: RestoringPrior) -> list[float]:
    """Choose the noise stds, decreasing, of the flow: those of the levels of the network, 8 in equal ratios at most."""
    levels = prior.scale * prior.process.denoising_levels()[1].cpu().double()
    levels = levels[: max(1, int((levels <= HIGHEST * prior.scale).sum()))]
    if len(levels) > STEPS:
        wanted = torch.logspace(math.log10(levels[0]), math.log10(levels[-1]), STEPS, dtype=levels.dtype)
        nearest = (levels.log() - wanted[:, None].log()).abs().argmin(1)
        levels = wanted if prior.continuous else levels[nearest.unique()]
    stds: list[float] = levels.flip(0).tolist()
    return stds


def draw_residual(prior: RestoringPrior, x: Tensor, std: float, generator: Randomness) -> Tensor:
    """Draw what a denoiser D leaves out at `std`: noise with the variance `std^2 tr(J)` and the correlation of `J n`.

    J = dD/dx at `x`; `std^2 J` is the covariance of the image given its noisy version. `J n` is a central difference.
    """
    n = _noise_like(x, generator)
    z = randn((len(x), prior.latent), generator=generator, device=x.device, dtype=x.dtype)
    up, down = (prior.denoise(x + sign * std * n, std, z=z) for sign in (1, -1))
    change = (up - down) / 2
    variance = std * dot(n, change).clamp(min=0) / dot(change, change).clamp(min=torch.finfo(x.dtype).tiny)
    return change * per_image(variance.sqrt(), x)


def _noise_like(x: Tensor, generator: Randomness) -> Tensor:
    return randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
