"""Restoration by denoising once."""

from __future__ import annotations

from typing import ClassVar, cast, final

from torch import Tensor

from rgmkit.core.bounds import Count
from rgmkit.core.degradation import Degradation
from rgmkit.core.inverse_network import InverseNetwork
from rgmkit.core.iterated_prox import IteratedProx
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import initial_std, noise_of, residual_entry, restore_as_trained


@final
class OneShot(Solver):
    """Denoise the initial estimate once with the network, see `RestoringPrior.denoise`.

        x = D(argmin_u w/2 |A u - y|^2 + 1/2 |u - x_0|^2, std),
        w = 4 std^2 / noise^2,    std^2 = s^2 + lost noise_1^2,

    with s the noise std over |A|, lost the fraction of the image that A loses, and noise_1 the noise std of level 1,
    the least that the network has learnt. Lost information is modelled as additional Gaussian noise of that std. x_0
    is `initial_estimate(y)`; w is the largest weight for which no component of the noise exceeds std. If the
    degradation is not linear, the input of D is `embed(y)`, s its noise std and lost 1.
    This takes one network evaluation, or two if std lies between two levels. If the network was trained on this
    operator, it restores y itself, see `restore_measurement`. So does an `InverseNetwork`, such as one for
    super-resolution.

    Args:
        level: the level to denoise at. Default: by the std above.

    Raises:
        ConfigError: if the network has no such level.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    instead: ClassVar[frozenset[str]] = frozenset({"invert"})
    needs_linear: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True

    def __init__(self, *, level: Count | None = None) -> None:
        self.level = level

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        assert problem.y is not None and problem.degradation is not None  # a restoration, see `check`
        if isinstance(problem.prior, InverseNetwork):
            return self._apply_inverse(problem.prior, problem, problem.y, callback)
        prior = cast(RestoringPrior, problem.prior)
        top = prior.process.levels
        if self.level is not None and not 1 <= self.level <= top:
            raise ConfigError(f"one-shot.level is {self.level}: this prior has the levels 1 to {top}")
        std = initial_std(problem, prior.level_std(1)) if self.level is None else prior.level_std(self.level)
        if self.level is None and (trained := restore_as_trained(problem, generator)) is not None:
            x, evaluations = trained
            callback(1, 1, x)
            return Solution(x, nfe=evaluations, trace=[residual_entry(x, problem)])
        x = prior.denoise(_invert(problem, std), std, generator=generator)
        callback(1, 1, x)
        return Solution(x, nfe=prior.evaluations(std), trace=[{"sigma": std, **residual_entry(x, problem)}])

    def _apply_inverse(self, network: InverseNetwork, problem: Problem, y: Tensor, callback: Callback) -> Solution:
        if self.level is not None:
            raise ConfigError(f"one-shot.level is {self.level}: {network.title} has no levels")
        network.check_measurement(tuple(y.shape), problem.shape, cast(Degradation, problem.degradation).title)
        x = network.invert(y)
        callback(1, 1, x)
        return Solution(x, nfe=1, trace=[residual_entry(x, problem)])


def _invert(problem: Problem, std: float) -> Tensor:
    """Return the input of the network: the initial estimate, moved towards the measurement until its noise is `std`."""
    degradation, y = cast(Degradation, problem.degradation), cast(Tensor, problem.y)
    if not degradation.linear:
        return degradation.embed(y)
    x = degradation.initial_estimate(y)
    if problem.scale.lost == 0:
        return x
    prox = IteratedProx(degradation, y)
    x = prox(x, 4 * (std / noise_of(problem)) ** 2)
    prox.report()
    return x
