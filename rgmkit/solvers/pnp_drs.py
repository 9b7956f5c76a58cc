"""Plug-and-play Douglas-Rachford splitting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, cast, final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.bounds import Count, Iterations
from rgmkit.core.degradation import Degradation
from rgmkit.core.iterated_prox import IteratedProx
from rgmkit.core.noise import white_std
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import (
    change,
    converged,
    fixed_point_std,
    freeze_converged,
    information_std,
    initial_std,
    nearest_level_std,
    noise_of,
    note_misfit,
    raised_factor,
    reduce_residual,
    relative_noise,
    restore_as_trained,
    rms,
    trace_row,
)

FIRST_LOST = 0.3  # std of the noise that models lost information, in the first iteration
RATIO, HELD = 1.4, 2  # largest ratio of successive stds; least iterations at the last std
ITERATIONS, EVALUATIONS = 16, 16  # most of each by default
SMALL_CHANGE, LEAST_TOLERANCE = 0.1, 0.3  # largest change, over the noise; its bound, over the tolerance
STAGNATION = 0.25  # of the tolerance: a smaller change ends the iterations, however large the residual
TRAINED = 2.5  # most noise of the network's estimate from y itself over that of y, to start from it
MAX_BALANCE = 0.1  # bound of the second term of c in `PnPDRS`
EXPONENT, STRONG, WEAK = 8, 0.3, 0.1  # of lost in c; the relative noise from and up to which it no longer changes


@final
class PnPDRS(Solver):
    """Restore by plug-and-play Douglas-Rachford splitting, with the network in place of the prox of the prior.

    Iteration k denoises at std_k and takes the prox of the fidelity at the same step size std_k^2,

        u = (1 - alpha) x + alpha D(x, std_k),
        w = argmin_w weight_k/2 |A w - y|^2 + 1/2 |w - (2u - x)|^2,
        x <- w + (std_{k+1} / std_k)^2 (x - u),

    where D is `RestoringPrior.denoise`; the last factor keeps the dual variable (x - u) / std^2 when the step changes.
    The first x is the prox at `initial_estimate(y)`. Everything is relative to the operator: with s the noise std
    over |A|, and lost = 1 - |A|_F^2 / (n |A|^2) the fraction of the image that A loses,

        std_n^2 = s^2 + lost max(.02, 5 s / (1 + 2 s / lost_std), .2 lost^16 l^2)^2,
        weight_k = (1 + c) (std_k / noise)^2,
        c = max(lost^p, min(.1, s / (std_n sqrt(1 - lost)) - 1)),    p = 8 sqrt(.3 / min(max(s, .1), .3)),

    where l is `Problem.lost_at((10 lost_std / noise)^2)`.

    Lost information is modelled as additional Gaussian noise of std lost_std: noise_1, the noise std of level 1 on
    [0, 1] images, and at least .1. std_k falls to std_n in ratios of at most 1.4, from the std for a lost_std of
    .3 or from `lost^2 noise_2` if that is larger; a network that does not restore between levels is evaluated at the
    nearest levels. If A loses nothing, c is 0 and the fixed point is u = D(y, noise), found in one iteration if std_n
    is the noise std. The second term of c makes the noise of y that the prox passes on to x, of std
    `weight_n noise |A| sqrt(1 - lost)`, equal to the std_n at which D denoises, unless that takes more than 10 %. The
    first term is for operators that lose nearly everything, the more of them the stronger the noise.

    An std_n below noise_1, the least noise that the network has learnt, is raised to noise_1, by a factor r of 10 at
    most, and the weights are divided by sqrt(r). Divided by r, x would have noise of the std at which D denoises, but
    the iteration would be slow; undivided, u would follow the noise of y.

    The constants were chosen on photographs and digits of the training data, over some thirty operators.

    An image has converged when, at the last std, the residual is at most the noise and u changes by no more than
    `tolerance |u|` and a tenth of s (but `.3 tolerance |u|` is small enough), or u changes by no more than a quarter of
    `tolerance |u|`; it is then frozen while the rest of its batch goes on. A final residual much above the noise is
    reduced to it by one more prox, see `largest_residual`, with at most the last weight that std_n has without the term
    in l.

    If the network was trained on A (`OperatorLevel`), its estimate from y itself is the start, in place of
    `initial_estimate(y)`, and all iterations are at std_n. The result is the mean of this estimate and the last u,
    whose errors are partly independent. Where y has less noise than the least noise_1 of these levels, the weight of
    the estimate is `(noise / noise_1)^2 / 2`, and from a ratio of 2.5 on it is not used.

    With `levels`, D(x, std_k) is replaced by `G(R_j(x), j - 1, z)`, as in the paper, and an iteration repeats the three
    lines for j = levels … 1. The estimate is `u`; the paper returns `x`, which has more of the measurement noise.

    Args:
        alpha: step towards the denoised estimate, above 0 and at most 1; a single iteration takes 1.
        weight: of the fidelity in the prox. Default: as above.
        iterations: most iterations. Default: 16; without `levels`, as many of them as 16 network evaluations allow.
        levels: number of levels T_r in each iteration, whose noise is added as in the paper, less the noise that the
            initial estimate already has. Default: D as above.
        tolerance: of the relative change in one iteration; with 0 all iterations are run, unless one suffices.

    Raises:
        ConfigError: if an option is out of range, or the network has fewer levels.

    Source: the paper's section on restoration. Its options, alpha .05, weight 10 and 40 iterations for
    super-resolution, alpha .5, weight 5, 20 iterations and two levels for colour, are for noiseless measurements.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"restore"})
    differentiable: ClassVar[bool] = True

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        weight: float | None = None,
        iterations: Iterations | None = None,
        levels: Count | None = None,
        tolerance: float = 0.01,
    ) -> None:
        if not 0 < alpha <= 1:
            raise ConfigError(f"alpha is {alpha}: give a number above 0, at most 1")
        if (iterations is not None and iterations < 1) or (weight is not None and not 0 < weight < math.inf):
            raise ConfigError(f"iterations is {iterations} and weight {weight}: give iterations >= 1, weight > 0")
        if not tolerance >= 0:
            raise ConfigError(f"tolerance is {tolerance}: give 0 or more")
        self.alpha, self.weight, self.iterations, self.levels = alpha, weight, iterations, levels
        self.tolerance = tolerance

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        if self.levels is None:
            return self._solve_by_std(problem, generator, callback)
        return self._solve_by_level(problem, self.levels, generator, callback)

    def _solve_by_std(self, problem: Problem, generator: Randomness, callback: Callback) -> Solution:
        """Denoise at a decreasing std: D(x, std_k)."""
        prior, degradation, y = _parts(problem)
        stds, start, nfe = self._stds(problem), degradation.initial_estimate(y), 0
        trained = restore_as_trained(problem, generator, factor=TRAINED) if len(stds) > 1 else None
        if trained is not None:
            start, nfe = trained
            stds = [stds[-1]] * len(stds)
        weights, alpha = self._weights(problem, stds), self.alpha if len(stds) > 1 else 1.0
        prox = IteratedProx(degradation, y)

        def iterate(x: Tensor) -> Iterator[Tensor]:
            if len(stds) > 1:
                x = prox(x, weights[0])
            removal = prior.measure_removal(x) if _measures_removal(prior, stds) else None
            for std, next_std, weight in zip(stds, [*stds[1:], stds[-1]], weights, strict=True):
                u = x.lerp(prior.denoise(x, std, removal=removal, generator=generator), alpha)
                yield u
                x = prox(2 * u - x, weight) + (next_std / std) ** 2 * (x - u)

        estimate, trace = self._follow(iterate(start), start, problem, stds, callback)
        prox.report()
        if trained is not None:
            least = problem.operator_levels[0].noise
            estimate = estimate.lerp(start, min(1.0, noise_of(problem) / least) ** 2 / 2)
        if len(stds) > 1:
            lower = information_std(problem, least=False) / information_std(problem)  # noise may be understated
            estimate = reduce_residual(estimate, problem, prox, lower**2 * weights[-1])
        nfe += _count_evaluations(prior, stds, len(trace))
        notes = note_misfit(estimate, problem) if self.iterations is None else ()  # few iterations explain it, too
        return Solution(estimate, nfe=nfe, trace=trace, notes=notes)

    def _solve_by_level(self, problem: Problem, top: int, generator: Randomness, callback: Callback) -> Solution:
        """Add the noise of each level and restore from it, as in the paper: G(R_j(x), j - 1, z)."""
        prior, degradation, y = _parts(problem)
        if not 1 <= top <= prior.process.levels:
            raise ConfigError(f"pnp-drs.levels is {top}: this prior has the levels 1 to {prior.process.levels}")
        iterations = self.iterations or ITERATIONS
        weight, alpha = self._weights(problem, [prior.level_std(1)])[0], self.alpha if iterations > 1 else 1.0

        def iterate(x: Tensor) -> Iterator[Tensor]:
            noise_std = white_std(degradation.noise)
            for _ in range(iterations):
                for level in range(top, 0, -1):
                    degraded = prior.degrade(x, level, noise_std=noise_std, generator=generator)
                    u = x.lerp(prior.restore(degraded, level, generator=generator), alpha)
                    if level == 1:
                        yield u
                    x = degradation.prox(2 * u - x, y, weight) + (x - u)
                    noise_std = 0.0  # only the initial estimate has the noise of y

        start, stds = degradation.initial_estimate(y), [prior.level_std(top)] * iterations
        estimate, trace = self._follow(iterate(start), start, problem, stds, callback)
        return Solution(estimate, nfe=top * len(trace), trace=trace)

    def _follow(
        self, iterates: Iterator[Tensor], estimate: Tensor, problem: Problem, stds: list[float], callback: Callback
    ) -> tuple[Tensor, list[dict[str, float]]]:
        """Return the iterate at which each image has converged, or the last one, and the trace."""
        done = torch.zeros(len(estimate), dtype=torch.bool, device=estimate.device)
        trace: list[dict[str, float]] = []
        for i, (std, u) in enumerate(zip(stds, iterates, strict=False)):
            before, estimate = estimate, freeze_converged(done, estimate, u)
            trace.append({"sigma": std, **trace_row(before, estimate, problem)})
            callback(i + 1, len(stds), estimate)
            if std == stds[-1]:
                done = done | converged(before, estimate, problem, self._tolerances(estimate, problem))
                done = done | (change(before, estimate) <= STAGNATION * self.tolerance)
            if bool(done.all()):
                break
        return estimate, trace

    def _stds(self, problem: Problem) -> list[float]:
        """Return the std of each iteration: only one if A loses nothing and the network denoises at the noise std."""
        prior, last = cast(RestoringPrior, problem.prior), fixed_point_std(problem)
        if problem.scale.lost == 0 and math.isclose(last, relative_noise(problem), rel_tol=1e-3):
            return [last]
        first = max(initial_std(problem, FIRST_LOST), problem.scale.lost**2 * _second_level_std(prior))
        iterations = self.iterations or ITERATIONS
        falling = 1 + math.ceil(math.log(first / last) / math.log(RATIO)) if first > 2 * last else 1
        falling = min(falling, max(1, iterations - HELD + 1))
        stds: list[float] = np.geomspace(first, last, falling).tolist()[:-1]
        if not prior.continuous:  # a std between two levels takes two evaluations
            stds = [max(last, nearest_level_std(prior, std)) for std in stds]
        stds += [last] * (iterations - len(stds))
        while self.iterations is None and _count_evaluations(prior, stds, len(stds)) > EVALUATIONS:
            stds.pop()
        return stds

    def _tolerances(self, x: Tensor, problem: Problem) -> Tensor:
        """Return the relative change, (B,), that ends the iterations: a tenth of the noise, between the two bounds."""
        noise = SMALL_CHANGE * relative_noise(problem) / rms(x).clamp(min=torch.finfo(x.dtype).tiny)
        return noise.clamp(LEAST_TOLERANCE * self.tolerance, self.tolerance)

    def _weights(self, problem: Problem, stds: list[float]) -> list[float]:
        """Return the weight of the fidelity in each iteration."""
        if self.weight is not None:
            return [self.weight] * len(stds)
        lost, noise, s = problem.scale.lost, noise_of(problem), relative_noise(problem)
        balance = s / (stds[-1] * (1 - lost) ** 0.5) - 1
        exponent = EXPONENT * (STRONG / min(max(s, WEAK), STRONG)) ** 0.5
        factor = 1 + max(lost**exponent, min(MAX_BALANCE, balance))
        raised = raised_factor(problem, stds[-1])
        return [factor / raised**0.5 * (std / noise) ** 2 for std in stds]


def _measures_removal(prior: RestoringPrior, stds: list[float]) -> bool:
    """Tell whether D is used below level 1, where it needs `measure_removal`, often enough to measure that once."""
    return len(stds) > 2 and prior.evaluations(stds[-1]) > prior.evaluations(stds[-1], removal_known=True)


def _count_evaluations(prior: RestoringPrior, stds: list[float], iterations: int) -> int:
    """Return the network evaluations of the first iterations."""
    once = _measures_removal(prior, stds)
    return 2 * once + sum(prior.evaluations(std, removal_known=once) for std in stds[:iterations])


def _second_level_std(prior: RestoringPrior) -> float:
    return prior.level_std(min(2, prior.process.levels))


def _parts(problem: Problem) -> tuple[RestoringPrior, Degradation, Tensor]:
    return cast(RestoringPrior, problem.prior), cast(Degradation, problem.degradation), cast(Tensor, problem.y)
