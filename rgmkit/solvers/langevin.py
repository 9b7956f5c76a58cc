"""Draw from the posterior by Langevin dynamics."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.bounds import Bounds, Iterations, Positive
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness, randn
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import noise_of, relative_noise, residual_entry

LEAST, HIGHEST = 0.02, 5.0  # std in the end, at least, and in the beginning, relative to `prior.scale`
WITHOUT_LEVELS = 0.05  # std for a prior without levels where there is no measurement


@final
class Langevin(Solver):
    """Draw from the posterior, or generate, by Langevin dynamics:

        x <- x + e_k/2 (A^T (y - A x) / v_k + (D(x, std_k) - x) / std_k^2) + sqrt(e_k) n,    n ~ N(0, I),
        v_k = noise^2 + |A|^2 (std_k^2 - std_n^2),    e_k = step / (|A|^2 / v_k + 1 / std_k^2).

    If D(x, std) is the mean of all images that fit, as after training with `mmse`, `(D(x, std) - x) / std^2` is the
    gradient of the log density of images with noise of this std (Tweedie's formula). std falls in equal ratios, so that
    images end as draws of the posterior, up to noise of std_n, if it falls slowly enough; a network then removes this
    noise, `x <- D(x, std_n)`. If `first` equals `last` this is PnP-ULA. Any other prior has its prox for D, and by
    default one std (MYULA). With `samples` each draw is a chain of its own. Stable for any `step` below 4.

    Args:
        iterations: how many; each evaluates the network once, or twice if it is not made for stds between its levels.
        first: std_1, in units of the image. Default: `sqrt(d) / 2` for images of d values, at least 2.5, which hides
            them, and at most that of level T; `last` for a prior without levels.
        last: std_n. Default: that of level 1, at least .01; `noise / |A|` for a prior without levels.
        step: factor of `e_k`: a larger one samples faster and less exactly.

    Raises:
        ConfigError: if `first` is less than `last`.

    Source: Song and Ermon, "Generative modeling by estimating gradients of the data distribution", 2019; Jalal et al.,
    "Robust compressed sensing MRI with deep generative priors", 2021 (v_k); Laumont et al., "Bayesian imaging using
    plug & play priors: when Langevin meets Tweedie", 2022 (PnP-ULA); Durmus et al., "Efficient Bayesian computation by
    proximal MCMC", 2018 (MYULA).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prox"})
    generates: ClassVar[bool] = True

    def __init__(
        self,
        *,
        iterations: Iterations = 500,
        first: Positive | None = None,
        last: Positive | None = None,
        step: Annotated[float, Bounds(gt=0, le=2)] = 1.0,
    ) -> None:
        self.iterations, self.first, self.last, self.step = iterations, first, last, step

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        prior, stds = problem.prior, self._stds(problem)
        x = _start(problem)
        x = x + stds[0] * _noise_like(x, generator)
        trace: list[dict[str, float]] = []
        for k, std in enumerate(stds):
            slope = (prior.prox(x, std**2, generator=generator) - x) / std**2
            pull, bound = _follow_measurement(problem, x, std**2 - stds[-1] ** 2)
            e = self.step / (bound + std**-2)
            x = x + e / 2 * (slope + pull) + e**0.5 * _noise_like(x, generator)
            callback(k + 1, len(stds), x)
            trace.append({"sigma": std, **residual_entry(x, problem)})
        if not isinstance(prior, RestoringPrior):
            return Solution(x, trace=trace)
        x = prior.denoise(x, stds[-1], generator=generator)
        return Solution(x, nfe=sum(map(prior.evaluations, [*stds, stds[-1]])), trace=trace)

    def _stds(self, problem: Problem) -> list[float]:
        """Return the std of the denoiser in each iteration."""
        prior = problem.prior
        if isinstance(prior, RestoringPrior):
            last = self.last or max(prior.level_std(1), LEAST * prior.scale)
            hidden = prior.scale * max(HIGHEST, math.prod(problem.shape[1:]) ** 0.5)
            first = self.first or max(last, min(hidden, float(prior.level_stds.max())))
        else:
            last = self.last or (WITHOUT_LEVELS if problem.y is None else relative_noise(problem))
            first = self.first or last
        if first < last:
            raise ConfigError(f"langevin: first is {first:g} and last {last:g}: the std falls, give a larger first")
        stds: list[float] = np.geomspace(first, last, self.iterations).tolist()
        return [*stds[:-1], last]


def _start(problem: Problem) -> Tensor:
    """Return the initial estimate of a restoration; grey without a measurement."""
    if problem.y is not None and problem.degradation is not None:
        return problem.degradation.initial_estimate(problem.y)
    prior = problem.prior
    return torch.full(problem.shape, getattr(prior, "center", 0.5), device=prior.device, dtype=prior.dtype)


def _follow_measurement(problem: Problem, x: Tensor, variance: float) -> tuple[Tensor | float, float]:
    """Return the gradient of the log likelihood, with noise of this variance added to the image, and `|A|^2 / v`."""
    if problem.y is None or problem.degradation is None:
        return 0.0, 0.0
    gain = problem.scale.largest_gain * problem.scale.excess
    v = noise_of(problem) ** 2 + gain * variance
    return problem.degradation.adjoint(problem.y - problem.degradation.A(x)) / v, gain / v


def _noise_like(x: Tensor, generator: Randomness) -> Tensor:
    return randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
