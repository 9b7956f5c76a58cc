"""Generate images level by level, and restore them with decreasing noise."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, cast, final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.bounds import Count, Iterations
from rgmkit.core.degradation import Degradation
from rgmkit.core.iterated_prox import IteratedProx
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import (
    converged,
    freeze_converged,
    initial_std,
    lost_std,
    noise_of,
    relative_noise,
    trace_row,
)

TRUST_CAP = 0.3  # std up to which the weight of the measurement grows with it
HIGH, LOW = 1.5, 1 / 8  # first std, and least last std, of the noise that models lost information, over `lost_std`


@final
class Cascade(Solver):
    """Generate an image from noise level by level, or restore a measurement with decreasing noise.

    **Generation**, for `t = T … 1`, in T network evaluations: `x <- G(y_t, t - 1, z)`, `y_{t-1} <- R_{t-1}(x)`.
    It starts from noise, or from images that are degraded to level `start`; with `levels` it skips levels.

    **Restoration** is half-quadratic splitting. The std of the denoiser D (`RestoringPrior.denoise`) decreases from
    std_1 to std_n in equal ratios; each iteration moves half-way to the denoised estimate (the first all the way), and
    then towards the measurement:

        x <- argmin_u gamma_k/2 |A u - y|^2 + 1/2 |u - (x + step (D(x, std_k) - x))|^2,
        std_1^2 = s^2 + lost (1.5 lost_std)^2,
        std_n = min(std_1, sqrt(lost) clamp(s, lost_std / 8, lost_std)),
        gamma_k = trust min(std_k, .3)^2 max(0, 1/noise^2 - (1 - lost)/(|A| std_1)^2).

    The start is `initial_estimate(y)`. As for `pnp-drs`, s is the noise std over |A|, `lost` the fraction of the image
    that A loses, and `lost_std` the noise std of level 1 on [0, 1] images, at least .1. The last factor of gamma_k is
    the inverse variance of the measurement less the part that the first input of the network already carries. One
    iteration suffices if A loses nothing. The constants were chosen on training digits for denoising, two
    blurs, super-resolution by 2 and 4, and missing pixels, with noise of .01 to .3.

    Args:
        start: level to start from. Default: T for generation, std_1 as above for restoration. Generation from noise
            starts at T.
        trust: factor of `gamma_k`.
        step: fraction of the way to the denoised estimate, above 0 and at most 1; the first iteration goes all the way.
        evaluations: most network evaluations of a restoration; at least one iteration is run.
        tolerance: an image has converged once its residual is at most the noise and its relative change at most this.
        eta: for generation with Gaussian processes, how much noise is drawn anew at each level. None: all of it,
            independently of `y_t`, as above (the paper). 1: `y_{t-1}` is drawn from `q(y_{t-1} | x, y_t)` (denoising
            diffusion GANs, DDPM). 0: none (DDIM). Values from 0 to 1 suit networks that estimate posterior means.
        levels: for generation, how many levels to visit at most, in equal steps from the first. Default: all.

    Raises:
        ConfigError: if an option is out of range.

    Source: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", 2021 (decreasing noise).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    generates: ClassVar[bool] = True
    starts_from_images: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True

    def __init__(
        self,
        *,
        start: Count | None = None,
        trust: float = 0.7,
        step: float = 0.5,
        evaluations: Iterations = 8,
        tolerance: float = 0.002,
        eta: float | None = None,
        levels: Count | None = None,
    ) -> None:
        if eta is not None and not 0 <= eta <= 1:
            raise ConfigError(f"eta is {eta}: give a number from 0 to 1, or none for new noise at each level")
        if not tolerance >= 0:
            raise ConfigError(f"tolerance is {tolerance}: give 0 or more")
        if evaluations < 1 or not trust >= 0 or not 0 < step <= 1:
            raise ConfigError(
                f"evaluations is {evaluations}, trust {trust}, step {step}: give evaluations >= 1, trust >= 0, "
                f"and a step above 0, at most 1"
            )
        self.start, self.trust, self.step, self.evaluations = start, trust, step, evaluations
        self.tolerance, self.eta, self.levels = tolerance, eta, levels

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        if problem.y is None or problem.degradation is None:
            return self._generate(problem, generator, callback)
        return self._restore(problem, problem.y, problem.degradation, generator, callback)

    def _generate(self, problem: Problem, generator: Randomness, callback: Callback) -> Solution:
        prior = cast(RestoringPrior, problem.prior)
        top = self._start_level(prior)
        if problem.images is not None:
            y = prior.degrade(problem.images, top, generator=generator)
        elif top != prior.process.levels:
            raise ConfigError(
                f"cascade.start is {top}: without a measurement or images the start is level {prior.process.levels}"
            )
        else:
            parameter = next(prior.parameters(), None)
            device = None if parameter is None else parameter.device
            y = prior.process.terminal(problem.shape, generator=generator, device=device)
        levels = choose_levels(top, self.levels)
        for i, (level, target) in enumerate(pairwise([*levels, 0])):
            x = prior.restore(y, level, generator=generator)
            callback(i + 1, len(levels), x)
            if target > 0:
                y = self._descend(prior, x, y, level, target, generator)
        return Solution(x, nfe=len(levels), trace=[{"level": level} for level in levels])

    def _start_level(self, prior: RestoringPrior) -> int:
        top = prior.process.levels
        if self.start is not None and not 1 <= self.start <= top:
            raise ConfigError(f"cascade.start is {self.start}: this prior has the levels 1 to {top}")
        return self.start or top

    def _descend(
        self, prior: RestoringPrior, x: Tensor, y: Tensor, level: int, target: int, generator: Randomness
    ) -> Tensor:
        """Draw images of the level `target`, given `y` of `level` and the estimate `x` made from it."""
        if self.eta is None:
            return prior.degrade(x, target, generator=generator)
        return prior.descend(x, y, level, self.eta, target=target, generator=generator)

    def _restore(
        self, problem: Problem, y: Tensor, degradation: Degradation, generator: Randomness, callback: Callback
    ) -> Solution:
        prior, scale = cast(RestoringPrior, problem.prior), problem.scale
        stds = self._stds(prior, problem)
        information = max(0.0, 1 / noise_of(problem) ** 2 - (1 - scale.lost) / (scale.largest_gain * stds[0] ** 2))
        prox = IteratedProx(degradation, y)
        x = degradation.initial_estimate(y)
        done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        trace: list[dict[str, float]] = []
        nfe = 0
        for i, std in enumerate(stds):
            x_hat = prior.denoise(x, std, generator=generator)
            gamma = self.trust * min(std, TRUST_CAP) ** 2 * information
            target = x.lerp(x_hat, self.step) if i else x_hat
            before, x = x, freeze_converged(done, x, prox(target, gamma) if gamma > 0 else target)
            nfe += prior.evaluations(std)
            trace.append({"sigma": std, **trace_row(before, x, problem)})
            callback(i + 1, len(stds), x)
            done = done | converged(before, x, problem, self.tolerance)
            if bool(done.all()):
                break
        prox.report()
        return Solution(x, nfe=nfe, trace=trace)

    def _stds(self, prior: RestoringPrior, problem: Problem) -> list[float]:
        """Return the std of the denoiser in each iteration."""
        std_of_lost = lost_std(prior)
        high = (
            prior.level_std(self._start_level(prior))
            if self.start is not None
            else initial_std(problem, HIGH * std_of_lost)
        )
        clamped = min(max(relative_noise(problem), LOW * std_of_lost), std_of_lost)
        low = min(high, problem.scale.lost**0.5 * clamped)
        if low == 0:
            return [high]
        for n in range(self.evaluations, 1, -1):
            stds: list[float] = np.geomspace(high, low, n).tolist()
            if sum(map(prior.evaluations, stds)) <= self.evaluations:
                return stds
        return [high]


def choose_levels(top: int, count: int | None = None) -> list[int]:
    """Choose the levels that images are generated from: `count` of them in equal steps down from `top`, or all.

    >>> choose_levels(1000, 4), choose_levels(3), choose_levels(3, 50)
    ([1000, 750, 500, 250], [3, 2, 1], [3, 2, 1])
    """
    count = top if count is None else min(count, top)
    return np.linspace(top, 0, count, endpoint=False).round().astype(int).tolist()
