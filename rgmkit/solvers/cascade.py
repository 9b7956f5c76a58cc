"""Level by level down the ladder: the generator, and a restorer."""

from __future__ import annotations

from typing import ClassVar, cast, final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import (
    converged,
    freeze_converged,
    loss_std,
    measured_fraction,
    noise_of,
    start_std,
    trace_row,
)

FAR = 0.3  # an answer is never trusted less than this std, however high its level
HIGH, LOW = 1.5, 1 / 8  # of `loss`: what the lost part of the image counts as at first, and the least at the end


@final
class Cascade(Solver):
    """For `s = T … 1`: `x <- G(y_s, s - 1, z)`, `y_{s-1} <- R_{s-1}(x)`, from noise: a new image, NFE = T.

    With a measurement the noise that is taken off falls from std_1 to std_n, in equal ratios, and each answer moves
    half-way (the first all the way) and is pulled towards the measurement, as in half-quadratic splitting:

        x <- argmin_u gamma_k/2 |A u - y|^2 + 1/2 |u - (x + step (D(x, std_k) - x))|^2,
        std_1^2 = noise^2 + lost (1.5 loss)^2,    std_n = min(std_1, sqrt(lost) clamp(noise, loss / 8, loss)),
        gamma_k = trust min(std_k, .3)^2 max(0, 1/noise^2 - measured_fraction/std_1^2).

    D is `RestoringPrior.denoise`, `loss` the noise of level 1 on [0, 1] images, at least .1, `measured_fraction` the
    mean squared singular value of A, at most 1, and `lost = 1 - measured_fraction`. The last factor is what the
    measurement knows beyond what the network was shown of it.
    Where nothing is lost that is nothing, std_2 is 0, and the first answer is the last.
    The numbers were chosen on training digits, over denoising, two blurs, super-resolution by 2 and 4 and
    missing pixels at noises of .01 to .3.

    Args:
        start: level to start from; by default T to generate, and std_1 as above to restore.
        trust: factor of `gamma_k`.
        step: how far each answer moves towards the network's, above 0 to 1; the first moves all the way.
        evaluations: of the network in all, at the most, though at least one answer; with a measurement only.
        tolerance: an image whose residual has reached the noise is done once it changes by no more than this
            share of itself; 0 for never.
        eta: of a new image, how much of the noise is new on the way down, for Gaussian processes. None: all, and `y_s`
            is forgotten, as above (the paper). 1: `y_{s-1}` is a draw of `q(y_{s-1} | x, y_s)` (denoising diffusion
            GANs, DDPM). 0: nothing is drawn (DDIM). 0 to 1 suits networks whose answers are means, objective `mmse`.

    Source: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", 2021 (noise that falls).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    generates: ClassVar[bool] = True

    def __init__(
        self,
        *,
        start: int | None = None,
        trust: float = 0.7,
        step: float = 0.5,
        evaluations: int = 8,
        tolerance: float = 0.002,
        eta: float | None = None,
    ) -> None:
        if eta is not None and not 0 <= eta <= 1:
            raise ConfigError(f"eta is {eta}: give a number from 0 to 1, or none for new noise at each level")
        if tolerance < 0:
            raise ConfigError(f"tolerance is {tolerance}: give 0 or more")
        if evaluations < 1 or trust < 0 or not 0 < step <= 1:
            raise ConfigError(
                f"evaluations is {evaluations}, trust {trust}, step {step}: give evaluations >= 1, trust >= 0, "
                f"and a step above 0, at most 1"
            )
        self.start, self.trust, self.step, self.evaluations = start, trust, step, evaluations
        self.tolerance, self.eta = tolerance, eta

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        if problem.y is None or problem.degradation is None:
            return self._generate(problem, generator, callback)
        return self._restore(problem, problem.y, problem.degradation, generator, callback)

    def _generate(self, problem: Problem, generator: Randomness, callback: Callback) -> Solution:
        prior = cast(RestoringPrior, problem.prior)
        top = prior.process.levels
        if self.start not in (None, top):
            raise ConfigError(f"cascade.start is {self.start}: without a measurement the start is level {top}")
        weight = next(prior.parameters(), None)
        device = None if weight is None else weight.device
        y = prior.process.terminal(problem.shape, generator=generator, device=device)
        for s in range(top, 0, -1):
            x = prior.restore(y, s, generator=generator)
            callback(top - s + 1, top, x)
            if s > 1:
                y = self._below(prior, x, y, s, generator)
        return Solution(x, nfe=top, trace=[{"level": s} for s in range(top, 0, -1)])

    def _below(self, prior: RestoringPrior, x: Tensor, y: Tensor, level: int, generator: Randomness) -> Tensor:
        """Images of the level below that of `y`, whose answer is `x`."""
        if self.eta is None:
            return prior.degrade(x, level - 1, generator=generator)
        return prior.descend(x, y, level, self.eta, generator=generator)

    def _restore(
        self, problem: Problem, y: Tensor, degradation: Degradation, generator: Randomness, callback: Callback
    ) -> Solution:
        prior, known = cast(RestoringPrior, problem.prior), measured_fraction(problem)
        stds = self._stds(prior, problem, known)
        unseen = max(0.0, 1 / noise_of(degradation) ** 2 - known / stds[0] ** 2)
        x = degradation.embed(y)
        done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        trace: list[dict[str, float]] = []
        nfe = 0
        for i, std in enumerate(stds):
            x_hat = prior.denoise(x, std, generator=generator)
            gamma = self.trust * min(std, FAR) ** 2 * unseen
            moved = x.lerp(x_hat, self.step) if i else x_hat
            before, x = x, freeze_converged(done, x, degradation.prox(moved, y, gamma) if gamma > 0 else moved)
            nfe += prior.evaluations(std)
            trace.append({"sigma": std, **trace_row(before, x, problem)})
            callback(i + 1, len(stds), x)
            done |= converged(before, x, problem, self.tolerance)
            if bool(done.all()):
                break
        return Solution(x, nfe=nfe, trace=trace)

    def _stds(self, prior: RestoringPrior, problem: Problem, known: float) -> list[float]:
        """The noise that is taken off in each answer."""
        top = prior.process.levels
        if self.start is not None and not 1 <= self.start <= top:
            raise ConfigError(f"cascade.start is {self.start}: this prior has the levels 1 to {top}")
        assert problem.degradation is not None  # a problem of restoring
        noise, loss = problem.degradation.noise or 0.0, loss_std(prior)
        high = prior.noise(self.start) if self.start else start_std(problem, HIGH * loss, known=known)
        low = min(high, (1 - known) ** 0.5 * min(max(noise, LOW * loss), loss))
        if low == 0:
            return [high]
        for n in range(self.evaluations, 1, -1):
            stds: list[float] = np.geomspace(high, low, n).tolist()
            if sum(map(prior.evaluations, stds)) <= self.evaluations:
                return stds
        return [high]
