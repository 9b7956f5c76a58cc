"""Plug-and-play Douglas-Rachford splitting."""

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
from rgmkit.solvers.measurement import converged, freeze_converged, initial_std, lost_std, noise_of, trace_row

WEIGHT_FACTOR = 2.0  # of the default weight


@final
class PnPDRS(Solver):
    """Restore by plug-and-play Douglas-Rachford splitting, with the network in place of the prox of the prior.

    Each iteration runs, for j = levels … 1,

        v = G(R_j(x), j - 1, z),    u = (1 - alpha) x + alpha v,
        w = argmin_w weight/2 |A w - y|^2 + 1/2 |w - (2u - x)|^2,    x <- x + w - u.

    The estimate is `u`; the paper returns `x`, which has more of the noise of the measurement.

    By default the first line is the denoiser `v = D(x, std)` of `RestoringPrior.denoise`, which adds no noise, with
    std^2 = noise^2 + lost lost_std^2 and the weight `2 (std / noise)^2`. Lost information is modelled as additional
    Gaussian noise: lost = max(0, 1 - gain), where gain is the mean squared singular value of A, and lost_std is the
    noise std of level 1 for images in [0, 1], at least .1. Alpha, the factor 2 and the tolerance were
    chosen on training digits and training photographs, each with its network.

    An image has converged when the root mean square of `A u - y` is at most the noise and u changes by no more than
    `tolerance |u|`; it is then frozen while the rest of its batch goes on. One iteration suffices if A loses
    nothing; more would over-smooth.

    Args:
        alpha: step towards the denoised estimate, above 0 to 1; 1 if A loses nothing.
        weight: of the fidelity in the prox.
        iterations: most iterations of the outer loop.
        levels: number of levels T_r of each iteration, with their noise added, as in the paper; the noise of the first
            estimate counts towards that of its level. Default: D as above.
        tolerance: of the change in one iteration; 0 to run all of them where A loses something.

    Raises:
        ConfigError: if an option is out of range, or the network has fewer levels.

    Source: the paper's section on restoration. Its options, alpha .05, weight 10 and 40 iterations for
    super-resolution, alpha .5, weight 5, 20 iterations and two levels for colour, are for noiseless measurements.
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
        std = prior.level_std(levels[0]) if levels else initial_std(problem, lost_std(prior))
        weight = self.weight or WEIGHT_FACTOR * ((prior.level_std(1) if levels else std) / noise_of(degradation)) ** 2
        lossless = not levels and math.isclose(std, noise_of(degradation))
        most, alpha = (1, 1.0) if lossless else (self.iterations, self.alpha)
        x = estimate = degradation.embed(y)
        done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        trace: list[dict[str, float]] = []
        for i in range(most):
            present = noise if i == 0 else 0.0
            for j in levels or [0]:
                if j:
                    y_j = prior.degrade(x, j, noise_std=present if j == levels[0] else 0, generator=generator)
                    v = prior.restore(y_j, j, generator=generator)
                else:
                    v = prior.denoise(x, std, generator=generator)
                u = x.lerp(v, alpha)
                x = x + degradation.prox(2 * u - x, y, weight) - u
            before, estimate = estimate, freeze_converged(done, estimate, u)
            trace.append({"sigma": std, **trace_row(before, estimate, problem)})
            callback(i + 1, most, estimate)
            done |= converged(before, estimate, problem, self.tolerance)
            if bool(done.all()):
                break
        return Solution(estimate, nfe=len(trace) * (len(levels) or prior.evaluations(std)), trace=trace)

    def _levels(self, prior: RestoringPrior) -> list[int]:
        """Return the levels of each iteration; none for the denoiser at any std."""
        most = prior.process.levels
        if self.levels is None:
            return []
        if not 1 <= self.levels <= most:
            raise ConfigError(f"pnp-drs.levels is {self.levels}: this prior has the levels 1 to {most}")
        return list(range(self.levels, 0, -1))
