"""A restored image from one answer of the network."""

from __future__ import annotations

from typing import ClassVar, cast, final

from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import residual, start_std


@final
class OneShot(Solver):
    """`x = D(embed(y), std)`: the measurement is denoised once by the network, see `RestoringPrior.denoise`.

        std^2 = noise^2 + (1 - measured_fraction) noise_1^2,

    with `measured_fraction` the mean squared singular value of A, at most 1, and 0 for an operator that is not linear:
    what is lost counts as noise of level 1, the lowest that the network has learnt. One network evaluation, or two
    between levels. Needs only `forward` of the degradation, so that it serves those that are not linear.

    Args:
        level: to restore from, as it is; by default from the noise and the operator, as above.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    needs_linear: ClassVar[bool] = False

    def __init__(self, *, level: int | None = None) -> None:
        self.level = level

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        prior = cast(RestoringPrior, problem.prior)
        assert problem.y is not None and problem.degradation is not None  # `check` has seen to it
        top = prior.process.levels
        if self.level is not None and not 1 <= self.level <= top:
            raise ConfigError(f"one-shot.level is {self.level}: this prior has the levels 1 to {top}")
        std = start_std(problem, prior.noise(1)) if self.level is None else prior.noise(self.level)
        x = prior.denoise(problem.degradation.embed(problem.y), std, generator=generator)
        callback(1, 1, x)
        return Solution(x, nfe=prior.evaluations(std), trace=[{"sigma": std, **residual(x, problem)}])
