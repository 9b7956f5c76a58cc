"""Restoration by denoising once."""

from __future__ import annotations

from typing import ClassVar, cast, final

from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import initial_std, residual_entry, restore_as_trained


@final
class OneShot(Solver):
    """Denoise the initial estimate once with the network: `x = D(x_0, std)`, see `RestoringPrior.denoise`.

        std^2 = s^2 + lost noise_1^2,

    with s the noise std over |A|, lost the fraction of the image that A loses, and noise_1 the noise std of level 1,
    the least that the network has learnt. Lost information is modelled as additional Gaussian noise of that std. x_0
    is `initial_estimate(y)`. If the degradation is not linear, x_0 is `embed(y)`, s its noise std and lost 1.
    This takes one network evaluation, or two if std lies between two levels. If the network was trained on this
    operator, it restores y itself, see `restore_measurement`.

    Args:
        level: the level to denoise at. Default: by the std above.

    Raises:
        ConfigError: if the network has no such level.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    needs_linear: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True

    def __init__(self, *, level: int | None = None) -> None:
        self.level = level

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        prior = cast(RestoringPrior, problem.prior)
        assert problem.y is not None and problem.degradation is not None  # a restoration, see `check`
        top = prior.process.levels
        if self.level is not None and not 1 <= self.level <= top:
            raise ConfigError(f"one-shot.level is {self.level}: this prior has the levels 1 to {top}")
        std = initial_std(problem, prior.level_std(1)) if self.level is None else prior.level_std(self.level)
        if self.level is None and (trained := restore_as_trained(problem, generator)) is not None:
            x, evaluations = trained
            callback(1, 1, x)
            return Solution(x, nfe=evaluations, trace=[residual_entry(x, problem)])
        degradation = problem.degradation
        start = degradation.initial_estimate(problem.y) if degradation.linear else degradation.embed(problem.y)
        x = prior.denoise(start, std, generator=generator)
        callback(1, 1, x)
        return Solution(x, nfe=prior.evaluations(std), trace=[{"sigma": std, **residual_entry(x, problem)}])
