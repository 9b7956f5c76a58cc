"""A restored image from one network evaluation."""

from __future__ import annotations

from typing import ClassVar, cast, final

from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measured import residual


@final
class OneShot(Solver):
    """`x = G(y_s, s - 1, z)`: the measurement, brought to a level of the prior's ladder, is restored once.

    The level is the one whose noise is nearest to that of the measurement; the noise that is there already
    counts. Needs only `forward` of the degradation, so that it serves those that are not linear.

    Args:
        level: to restore from; by default from the noise of the measurement.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    needs_linear: ClassVar[bool] = False

    def __init__(self, *, level: int | None = None) -> None:
        self.level = level

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        prior = cast(RestoringPrior, problem.prior)
        assert problem.y is not None and problem.degradation is not None  # `check` has seen to it
        noise, top = problem.degradation.noise, prior.process.levels
        level = self.level or prior.level_near(noise)
        if not 1 <= level <= top:
            raise ConfigError(f"one-shot.level is {level}: this prior has the levels 1 to {top}")
        y = prior.degrade(problem.degradation.embed(problem.y), level, noise=noise, generator=generator)
        x = prior.restore(y, level, generator=generator)
        callback(1, 1, x)
        return Solution(x, nfe=1, trace=[{"level": level, **residual(x, problem)}])
