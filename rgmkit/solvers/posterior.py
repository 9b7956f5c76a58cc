"""Draw from the posterior by simulating the errors of a restoration."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, cast, final

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import dot, per_image
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness, randn
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.solvers.one_shot import OneShot
from rgmkit.solvers.pnp_drs import PnPDRS

STEPS = 8  # most network evaluations to generate an image
HIGHEST = 5.0  # largest noise std, relative to `prior.scale`, from which an image is generated
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

    x' is generated from `S(y)` with noise of a high level, down the levels of the network, 8 of them at most. A
    network that samples, with a latent z, restores and re-degrades with new noise; the last std is 1.25 times that of
    level 1, and e is multiplied by 1.1, since a network restores its own images better than real ones. Both were
    chosen on training digits. Any other network is taken for a denoiser, D(x, t) = E[x | x + t n]: x' solves the
    probability-flow equation `dx = (x - D(x, t)) dt / t`, and is then given what D leaves out at the last level, see
    `draw_residual`.

    Args:
        estimator: the solver S. Default: `pnp-drs`, or `one-shot` if the degradation is not linear.

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
        default = PnPDRS() if cast(Degradation, problem.degradation).linear else OneShot()
        return (self.estimator or default).solve(problem, generator=generator, callback=callback)

    def simulate_error(self, problem: Problem, near: Tensor, *, generator: Randomness) -> Solution:
        """Draw an error of the estimator for each image, with images generated from the estimates `near`."""
        prior, degradation = cast(RestoringPrior, problem.prior), cast(Degradation, problem.degradation)
        stds = choose_stds(prior)
        samples = draws_samples(prior)
        x = (resample if samples else integrate_flow)(prior, near, stds, generator)
        y = degradation(x, generator=generator)
        again = self.estimate(problem.with_measurement(y), generator=generator)
        nfe = again.nfe + sum(map(prior.evaluations, stds)) + (0 if samples else 2)
        return replace(again, x=(x - again.x) * (WIDENED if samples else 1), nfe=nfe)


def draws_samples(prior: RestoringPrior) -> bool:
    """Tell whether the network restores to a sample, which depends on a latent z, or to the posterior mean."""
    return prior.generative and prior.latent > 0


def choose_stds(prior: RestoringPrior) -> list[float]:
    """Choose the noise stds, decreasing, from which an image is generated: at most 8, of the levels of the network."""
    levels = prior.scale * prior.process.denoising_levels()[1].double()
    levels = levels[: max(1, int((levels <= HIGHEST * prior.scale).sum()))]
    if len(levels) > STEPS:
        wanted = torch.logspace(math.log10(levels[0]), math.log10(levels[-1]), STEPS, dtype=levels.dtype)
        levels = levels[(levels.log() - wanted[:, None].log()).abs().argmin(1)].unique()
    stds: list[float] = levels.flip(0).tolist()
    return [*stds[:-1], LAST * stds[-1]] if draws_samples(prior) else stds


def resample(prior: RestoringPrior, x: Tensor, stds: list[float], generator: Randomness) -> Tensor:
    """Generate images from `x`: add new noise of each std, and restore."""
    for std in stds:
        x = prior.denoise(x + std * _noise_like(x, generator), std, generator=generator)
    return x


def integrate_flow(prior: RestoringPrior, near: Tensor, stds: list[float], generator: Randomness) -> Tensor:
    """Generate images from `near`: add noise of the first std, and follow the probability flow to the last."""
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
    return denoised + draw_residual(prior, near, stds[-1], generator)


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
