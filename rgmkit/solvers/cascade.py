"""Level by level down the ladder: the generator, and a restorer."""

from __future__ import annotations

from typing import ClassVar, cast, final

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measured import gain, kept, noise_of, progress, settled

FAR = 0.3  # an answer is never trusted less than this std, however high its level


@final
class Cascade(Solver):
    """For `s = T … 1`: `x <- G(y_s, s - 1, z)`, `y_{s-1} <- R_{s-1}(x)`, from noise: a new image, NFE = T.

    With a measurement (paper, algorithm 2, and here) the chain starts at the level whose noise is
    nearest to that of the measurement, goes through each level several times, and each answer moves
    half-way and is pulled towards the measurement:

        x <- argmin_u gamma_s/2 |A u - y|^2 + 1/2 |u - (x + step (x_hat - x))|^2,
        gamma_s = trust * min(noise_s, .3)^2 * max(0, 1/noise^2 - gain/noise_s^2),

    where `noise_s` is the noise of level s on [0, 1] images and `gain`, 1 at the most, the mean squared singular
    value of A. The last factor is what the measurement knows beyond what the network was shown of it; where
    that is nothing, one evaluation is enough.
    Step, trust and number of evaluations were chosen on training digits, over noises of .02 to .25,
    three blurs and super-resolution by 2 and 4.

    Args:
        start: level to start from; by default T to generate, the nearest in noise to restore.
        trust: factor of `gamma_s`.
        step: how far each answer moves towards the network's, above 0 to 1; the first moves all the way.
        evaluations: of the network in all, at the most; with a measurement only.
        tolerance: at level 1, an image whose residual has reached the noise is done once it changes by no
            more than this share of itself; 0 for never.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    generates: ClassVar[bool] = True

    def __init__(
        self,
        *,
        start: int | None = None,
        trust: float = 0.25,
        step: float = 0.5,
        evaluations: int = 8,
        tolerance: float = 0.01,
    ) -> None:
        if tolerance < 0:
            raise ConfigError(f"tolerance is {tolerance}: give 0 or more")
        if evaluations < 1 or trust < 0 or not 0 < step <= 1:
            raise ConfigError(
                f"evaluations is {evaluations}, trust {trust}, step {step}: give evaluations >= 1, trust >= 0, "
                f"and a step above 0, at most 1"
            )
        self.start, self.trust, self.step, self.evaluations = start, trust, step, evaluations
        self.tolerance = tolerance

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
                y = prior.degrade(x, s - 1, generator=generator)
        return Solution(x, nfe=top, trace=[{"level": s} for s in range(top, 0, -1)])

    def _restore(
        self, problem: Problem, y: Tensor, degradation: Degradation, generator: Randomness, callback: Callback
    ) -> Solution:
        prior, noise = cast(RestoringPrior, problem.prior), degradation.noise
        known = min(1.0, gain(degradation, problem.shape, y))
        levels = self._levels(prior, noise, known)
        x = degradation.embed(y)
        done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        trace: list[dict[str, float]] = []
        for i, s in enumerate(levels):
            # Only the first guess has the measurement's noise; it counts as part of the level's.
            y_s = prior.degrade(x, s, noise=0 if i else noise, generator=generator)
            x_hat = prior.restore(y_s, s, generator=generator)
            pulled = self._pull(x.lerp(x_hat, self.step) if i else x_hat, s, y, degradation, known, prior)
            before, x = x, kept(done, x, pulled)
            trace.append({"level": s, **progress(before, x, problem)})
            callback(i + 1, len(levels), x)
            if s == 1:
                done |= settled(before, x, problem, self.tolerance)
                if bool(done.all()):
                    break
        return Solution(x, nfe=len(trace), trace=trace)

    def _levels(self, prior: RestoringPrior, noise: float, known: float) -> list[int]:
        """The level of each evaluation."""
        top = prior.process.levels
        if self.start is not None and not 1 <= self.start <= top:
            raise ConfigError(f"cascade.start is {self.start}: this prior has the levels 1 to {top}")
        start = self.start or prior.level_near(noise)
        most = max(1, self.evaluations // start)
        return [s for s in range(start, 0, -1) for _ in range(most if known * noise**2 < prior.noise(s) ** 2 else 1)]

    def _pull(
        self, x: Tensor, s: int, y: Tensor, degradation: Degradation, known: float, prior: RestoringPrior
    ) -> Tensor:
        """The prox of the fidelity, with the weight of level s."""
        unseen = 1 / noise_of(degradation) ** 2 - known / prior.noise(s) ** 2
        gamma = self.trust * min(prior.noise(s), FAR) ** 2 * max(0.0, unseen)
        return degradation.prox(x, y, gamma) if gamma > 0 else x
