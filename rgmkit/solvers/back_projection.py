"""Restoration in a few network evaluations by back-projection."""

from __future__ import annotations

from typing import ClassVar, cast, final

import numpy as np
from torch import Tensor

from rgmkit.core.bounds import Iterations
from rgmkit.core.degradation import Degradation
from rgmkit.core.iterated_prox import IteratedProx
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness, randn
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import (
    fixed_point_std,
    initial_std,
    nearest_level_std,
    noise_of,
    raised_factor,
    reduce_residual,
    relative_noise,
    trace_row,
)

FIRST_LOST = 0.2  # std of the noise that models lost information, in the first iteration


@final
class BackProjection(Solver):
    """Restore in a few network evaluations: denoise, project back to the measurement, and keep or renew the noise.

    With n a new image of white noise, iteration k is

        u = D(x, std_k),
        v = argmin_v weight_k/2 |A v - y|^2 + 1/2 |v - (2u - x)|^2,
        x <- v + std_{k+1} (kept sqrt(1 - eta^2) (x - u) / std_k + eta n),

    where D is `RestoringPrior.denoise`, and v the regularised back-projection of `2u - x`. In the first x,
    `initial_estimate(y)` takes the place of `2u - x`, and no noise is kept; the estimate is the last u. If its residual
    would exceed the noise, one more prox reduces it, see `largest_residual`.

    The stds fall in equal ratios from `std_1^2 = s^2 + .2^2 lost` to that at the end of `pnp-drs`, with s the noise std
    over |A|, and lost the fraction of the image that A loses; `weight_k = weight (std_k / noise)^2`. A network that
    does not restore between levels is evaluated at the nearest ones. As for `pnp-drs`, where the last std is raised to
    that of level 1 by a factor r, the weights are divided by sqrt(r). If A loses nothing, the
    estimate is `D(initial_estimate(y), s)`.

    The constants were chosen on held-out photographs with two networks, for two blurs, downsampling by 2 and 4, missing
    pixels, and gains that differ from pixel to pixel, with noise of .01 and .05.

    Args:
        evaluations: most network evaluations; at least one iteration is run.
        weight: of the measurement, see above.
        kept: share of the estimated noise `(x - u) / std_k` that is kept, 0 to 1.
        eta: share of new noise, 0 to 1. 0: the estimate is deterministic. Otherwise it is random, and less accurate.

    Raises:
        ConfigError: if an option is out of range.

    Source: after Garber and Tirer, "Zero-shot image restoration using few-step guidance of consistency models (and
    beyond)", 2025, whose networks return draws. They project u, and subtract the estimated noise; with a network that
    estimates the mean, that lost .5 to 1 dB.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    differentiable: ClassVar[bool] = True

    def __init__(
        self, *, evaluations: Iterations = 4, weight: float = 1.15, kept: float = 0.9, eta: float = 0.0
    ) -> None:
        if evaluations < 1 or not 0 < weight < float("inf"):
            raise ConfigError(f"evaluations is {evaluations} and weight {weight}: give evaluations >= 1, weight > 0")
        if not (0 <= kept <= 1 and 0 <= eta <= 1):
            raise ConfigError(f"kept is {kept} and eta {eta}: give numbers from 0 to 1")
        self.evaluations, self.weight, self.kept, self.eta = evaluations, float(weight), float(kept), float(eta)

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        prior, degradation = cast(RestoringPrior, problem.prior), cast(Degradation, problem.degradation)
        stds = self._stds(problem)
        weights, prox = self._weights(problem, stds), IteratedProx(degradation, cast(Tensor, problem.y))
        u = x = degradation.initial_estimate(cast(Tensor, problem.y))
        if problem.scale.lost > 0:
            x = prox(x, weights[0]) + self._draw(x, stds[0], generator)
        trace: list[dict[str, float]] = []
        for k, std in enumerate(stds):
            before, u = u, prior.denoise(x, std, generator=generator)
            trace.append({"sigma": std, **trace_row(before, u, problem)})
            callback(k + 1, len(stds), u)
            if k + 1 < len(stds):
                kept = self.kept * (1 - self.eta**2) ** 0.5 * stds[k + 1] / std
                x = prox(2 * u - x, weights[k]) + kept * (x - u) + self._draw(x, stds[k + 1], generator)
        if problem.scale.lost > 0:
            u = reduce_residual(u, problem, prox, weights[-1])
        prox.report()
        return Solution(u, nfe=sum(map(prior.evaluations, stds)), trace=trace)

    def _draw(self, x: Tensor, std: float, generator: Randomness) -> Tensor | float:
        """Draw the new noise of an image at `std`; draw nothing if there is none."""
        if self.eta == 0:
            return 0.0
        return self.eta * std * randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)

    def _stds(self, problem: Problem) -> list[float]:
        """Return the std of the denoiser in each iteration."""
        prior = cast(RestoringPrior, problem.prior)
        if problem.scale.lost == 0:
            return [relative_noise(problem)]
        last = fixed_point_std(problem)
        for n in range(self.evaluations, 0, -1):
            stds: list[float] = np.geomspace(max(last, initial_std(problem, FIRST_LOST)), last, n).tolist()
            if not prior.continuous:  # a std between two levels takes two evaluations
                stds = [max(last, nearest_level_std(prior, std)) for std in stds]
            if sum(map(prior.evaluations, stds)) <= self.evaluations:
                break
        return stds

    def _weights(self, problem: Problem, stds: list[float]) -> list[float]:
        """Return the weight of the measurement in each iteration."""
        raised = raised_factor(problem, stds[-1])
        return [self.weight / raised**0.5 * (std / noise_of(problem)) ** 2 for std in stds]
