"""Plug-and-play Douglas-Rachford splitting with the network as the prior's half."""

from __future__ import annotations

import math
from typing import ClassVar, cast, final

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import converged, freeze_converged, loss_std, noise_of, start_std, trace_row

SHARE = 2.0  # factor of the default weight


@final
class PnPDRS(Solver):
    """Repeat, with j = levels … 1 inside:

    `v = G(R_j(x), j - 1, z)`, `u = (1 - alpha) x + alpha v`,
    `w = argmin_w weight/2 |A w - y|^2 + 1/2 |w - (2u - x)|^2`, `x <- x + w - u`.

    The answer is `u`. The paper (section on restoration) answers with `x`, which has more of the measurement's noise;
    its numbers, alpha .05, weight 10, 40 iterations for super-resolution and alpha .5, weight 5, 20 iterations, two
    levels for colour, are for noiseless measurements and one network.

    By default `G(R_j(x), …)` is the answer `D(x, std)` of `RestoringPrior.denoise`, with no noise added, and
    std^2 = noise^2 + lost loss^2, the weight `2 (std / noise)^2`: lost is 1 less the mean squared singular value of A,
    at least 0, and loss the noise of level 1 on [0, 1] images, at least .1: what an operator loses counts as noise.
    Alpha, the factor and the tolerance were chosen on training digits and training photographs, each with its network.

    An image is done when `|A u - y|` has reached the noise, per pixel, and u changes by no more than
    `tolerance |u|`. Where nothing is lost, the first answer is the last: to go on is to take off noise that is no
    longer there. An image that is done stays as it is, whatever the others of the batch need.

    Args:
        alpha: how far to go towards the network's answer, above 0 to 1; all the way where nothing is lost.
        weight: of the fidelity in the prox.
        iterations: of the outer loop, at the most.
        levels: the number of levels T_r gone through in each iteration, their noise added, as in the paper; that of
            the first guess counts as part of the level's. Default: D as above.
        tolerance: of the change in one iteration; 0 to run all of them where something is lost.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        weight: float | None = None,
        iterations: int = 8,
        levels: int | None = None,
        tolerance: float = 0.01,
    ) -> None:
        if not 0 < alpha <= 1:
            raise ConfigError(f"alpha is {alpha}: give a number above 0, at most 1")
        if iterations < 1 or (weight is not None and weight <= 0):
            raise ConfigError(f"iterations is {iterations} and weight {weight}: give iterations >= 1, weight > 0")
        if tolerance < 0:
            raise ConfigError(f"tolerance is {tolerance}: give 0 or more")
        self.alpha, self.weight, self.iterations, self.levels = alpha, weight, iterations, levels
        self.tolerance = tolerance

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        prior, degradation = cast(RestoringPrior, problem.prior), cast(Degradation, problem.degradation)
        y, noise, levels = cast(Tensor, problem.y), degradation.noise or 0.0, self._levels(prior)
        std = prior.noise(levels[0]) if levels else start_std(problem, loss_std(prior))
        weight = self.weight or SHARE * ((prior.noise(1) if levels else std) / noise_of(degradation)) ** 2
        one = not levels and math.isclose(std, noise_of(degradation))  # nothing is lost
        most, alpha = (1, 1.0) if one else (self.iterations, self.alpha)
        x = answer = degradation.embed(y)
        done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        trace: list[dict[str, float]] = []
        for i in range(most):
            fresh = noise if i == 0 else 0.0
            for j in levels or [0]:
                if j:
                    y_j = prior.degrade(x, j, noise_std=fresh if j == levels[0] else 0, generator=generator)
                    v = prior.restore(y_j, j, generator=generator)
                else:
                    v = prior.denoise(x, std, generator=generator)
                u = x.lerp(v, alpha)
                x = x + degradation.prox(2 * u - x, y, weight) - u
            before, answer = answer, freeze_converged(done, answer, u)
            trace.append({"sigma": std, **trace_row(before, answer, problem)})
            callback(i + 1, most, answer)
            done |= converged(before, answer, problem, self.tolerance)
            if bool(done.all()):
                break
        return Solution(answer, nfe=len(trace) * (len(levels) or prior.evaluations(std)), trace=trace)

    def _levels(self, prior: RestoringPrior) -> list[int]:
        """The levels of each iteration; none for the denoiser of any noise."""
        most = prior.process.levels
        if self.levels is None:
            return []
        if not 1 <= self.levels <= most:
            raise ConfigError(f"pnp-drs.levels is {self.levels}: this prior has the levels 1 to {most}")
        return list(range(self.levels, 0, -1))
