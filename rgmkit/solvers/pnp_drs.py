"""Plug-and-play Douglas-Rachford splitting with the network as the prior's half."""

from __future__ import annotations

from typing import ClassVar, cast, final

from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measured import noise_of, residual

SHARE = 0.15  # of the noise of a level that is left in the network's answers, as a variance


@final
class PnPDRS(Solver):
    """Repeat, with j = levels … 1 inside:

    `v = G(R_j(x), j - 1, z)`, `u = (1 - alpha) x + alpha v`,
    `w = argmin_w weight/2 |A w - y|^2 + 1/2 |w - (2u - x)|^2`, `x <- x + w - u`.

    The answer is `x`, the governing variable (paper, section on restoration). The published numbers,
    alpha .05, weight 10, 40 iterations for super-resolution and alpha .5, weight 5, 20 iterations, two levels
    for colour, are for noiseless measurements and one network. The defaults here follow the problem: the
    level whose noise is nearest to that of the measurement, and `weight = .15 (noise_1 / noise)^2`, where
    noise_1 is the noise of level 1 on [0, 1] images. The factor and alpha were chosen on training digits.

    Args:
        alpha: how far to go towards the network's answer, above 0 to 1.
        weight: of the fidelity in the prox.
        iterations: of the outer loop; NFE = iterations * levels.
        levels: the number of levels T_r gone through in each iteration.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        weight: float | None = None,
        iterations: int = 10,
        levels: int | None = None,
    ) -> None:
        if not 0 < alpha <= 1:
            raise ConfigError(f"alpha is {alpha}: give a number above 0, at most 1")
        if iterations < 1 or (weight is not None and weight <= 0):
            raise ConfigError(f"iterations is {iterations} and weight {weight}: give iterations >= 1, weight > 0")
        self.alpha, self.weight, self.iterations, self.levels = alpha, weight, iterations, levels

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        prior, degradation = cast(RestoringPrior, problem.prior), cast(Degradation, problem.degradation)
        y = cast(Tensor, problem.y)
        top = self._top(prior, degradation)
        weight = self.weight or SHARE * (prior.noise(1) / noise_of(degradation)) ** 2
        x = degradation.embed(y)
        trace: list[dict[str, float]] = []
        for i in range(self.iterations):
            for j in range(top, 0, -1):
                v = prior.restore(prior.degrade(x, j, generator=generator), j, generator=generator)
                u = x.lerp(v, self.alpha)
                w = degradation.prox(2 * u - x, y, weight)
                x = x + w - u
            trace.append(residual(x, problem))
            callback(i + 1, self.iterations, x)
        return Solution(x, nfe=self.iterations * top, trace=trace)

    def _top(self, prior: RestoringPrior, degradation: Degradation) -> int:
        """The level that each iteration starts at."""
        most = prior.process.levels
        if self.levels is None:
            return prior.level_near(degradation.noise)
        if not 1 <= self.levels <= most:
            raise ConfigError(f"pnp-drs.levels is {self.levels}: this prior has the levels 1 to {most}")
        return self.levels
