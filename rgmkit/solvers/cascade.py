"""Level by level down the ladder: the generator, and a restorer."""

from __future__ import annotations

from typing import ClassVar, cast, final

from torch import Tensor

from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measured import noise_of, residual

FAR = 0.3  # an answer is never trusted less than this std, however high its level


@final
class Cascade(Solver):
    """For `s = start … 1`: `x <- G(y_s, s - 1, z)`, `x <- prox(x)`, `y_{s-1} <- R_{s-1}(x)`.

    Without a measurement there is no prox, the chain starts at level T from noise, and the last `x` is a
    new image: NFE = T (paper, algorithm 2). With one, each answer is pulled towards the measurement,
    `argmin_x gamma_s/2 |A x - y|^2 + 1/2 |x - x_hat|^2` with
    `gamma_s = trust * min(noise_s, 0.3)^2 / noise^2`, where `noise_s` is the noise of level s on [0, 1]
    images: the less the level told about the image, the more the measurement is believed.

    Args:
        start: level to start from; by default T to generate, and to restore the lowest level that is at
            least as noisy as the measurement.
        trust: factor of `gamma_s`.
        repeats: evaluations at each level.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    generates: ClassVar[bool] = True

    def __init__(self, *, start: int | None = None, trust: float = 1.0, repeats: int = 1) -> None:
        if repeats < 1 or trust < 0:
            raise ConfigError(f"repeats is {repeats} and trust {trust}: give repeats >= 1 and trust >= 0")
        self.start, self.trust, self.repeats = start, trust, repeats

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        prior = cast(RestoringPrior, problem.prior)
        start, y = self._enter(problem, prior, generator)
        levels = [s for s in range(start, 0, -1) for _ in range(self.repeats)]
        trace: list[dict[str, float]] = []
        for i, s in enumerate(levels):
            x = prior.restore(y, s, generator=generator)
            x = self._pull(x, s, problem, prior)
            trace.append({"level": s, **residual(x, problem)})
            callback(i + 1, len(levels), x)
            if i + 1 < len(levels):
                y = prior.degrade(x, levels[i + 1] if self.repeats > 1 else s - 1, generator=generator)
        return Solution(x, nfe=len(levels), trace=trace)

    def _enter(self, problem: Problem, prior: RestoringPrior, generator: Randomness) -> tuple[int, Tensor]:
        """The level to start from, and a draw of it."""
        top = prior.process.levels
        if self.start is not None and not 1 <= self.start <= top:
            raise ConfigError(f"cascade.start is {self.start}: this prior has the levels 1 to {top}")
        if problem.y is None or problem.degradation is None:
            if self.start not in (None, top):
                raise ConfigError(f"cascade.start is {self.start}: without a measurement the start is level {top}")
            weight = next(prior.parameters(), None)
            device = None if weight is None else weight.device
            return top, prior.process.terminal(problem.shape, generator=generator, device=device)
        noise = problem.degradation.noise
        start = self.start or prior.level_above(noise)
        guess = problem.degradation.embed(problem.y)
        return start, prior.degrade(guess, start, noise=noise, generator=generator)

    def _pull(self, x: Tensor, s: int, problem: Problem, prior: RestoringPrior) -> Tensor:
        """The prox of the fidelity, with the weight of level s."""
        if problem.y is None or problem.degradation is None:
            return x
        gamma = self.trust * min(prior.noise(s), FAR) ** 2 / noise_of(problem.degradation) ** 2
        return problem.degradation.prox(x, problem.y, gamma)
