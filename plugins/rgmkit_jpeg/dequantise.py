"""Restoration from quantised coefficients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar, cast, final

from torch import Tensor

from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.solvers.measurement import LEAST_NOISE, trace_row
from rgmkit.solvers.one_shot import OneShot
from rgmkit_jpeg.jpeg import Jpeg

ROUNDING = 12**-0.5  # std of a rounding error, in steps
LEAST_STD = 0.02
MISFIT, FINEST = 0.2, 95  # of coefficients that are no whole steps; above this quality, 8 bits hide it


@final
class Dequantise(Solver):
    """Restore compressed images by Douglas-Rachford splitting between the prior and the quantisation cells.

        u = D(x, std),    x <- x + P(2u - x) - u,

    where D denoises, or is the prox of a hand-crafted prior with the threshold `std / 2`, and P projects onto the cells
    (`Jpeg.project`), narrowed to one std of the rounding, `1 / sqrt(12)` of a step, on either side of their centre. The
    first x is the compressed image, and the estimate is P(u). A network that was trained on this compression restores
    as with `one-shot`.

    Args:
        std: at which D denoises. Default: 1.5 times the std of the rounding in pixels, for the smallest step of
            luminance; with a network at least .02, and the nearest level's if it does not restore between levels.
        iterations: all are run. With more, hand-crafted priors oversmooth.

    Raises:
        ConfigError: if an option is out of range.
        IncompatibleError: if the degradation is not `jpeg`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prox"})
    needs_linear: ClassVar[bool] = False
    needs_noise: ClassVar[bool] = False
    expected_failures: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("refusals", "answer", "one_image_at_a_time", "randomness", "purity", "callbacks"), "it restores jpeg only"
    )

    def __init__(self, *, std: float | None = None, iterations: int = 8) -> None:
        if (std is not None and not 0 < std < float("inf")) or iterations < 1:
            raise ConfigError(f"std is {std} and iterations {iterations}: give a positive number, and 1 or more")
        self.std, self.iterations = std, iterations

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        jpeg, prior, y = problem.degradation, problem.prior, cast(Tensor, problem.y)
        if not isinstance(jpeg, Jpeg):
            title = getattr(jpeg, "title", "none")
            raise IncompatibleError(f"dequantise restores measurements of jpeg, not of {title}: use another solver")
        if problem.operator_levels:
            known = replace(problem, degradation=jpeg.with_noise(jpeg.noise or LEAST_NOISE))
            return OneShot()._solve(known, generator=generator, callback=callback)
        std = self.std or _choose_std(prior, jpeg)
        denoise, cells = _make_denoiser(prior, std, tuple(y.shape), generator), jpeg.find_cells(y)
        x, estimate, trace = y, y, []
        for k in range(self.iterations):
            u = denoise(x)
            x = x + jpeg.project(2 * u - x, cells, width=2 * ROUNDING) - u
            before, estimate = estimate, jpeg.project(u, cells, width=2 * ROUNDING)
            trace.append({"sigma": std, **trace_row(before, estimate, problem)})
            callback(k + 1, self.iterations, estimate)
        nfe = self.iterations * prior.evaluations(std) if isinstance(prior, RestoringPrior) else 0
        return Solution(estimate, nfe=nfe, trace=trace, notes=_note_misfit(jpeg, y))


def _note_misfit(jpeg: Jpeg, y: Tensor) -> tuple[str, ...]:
    """Return a note if `y` was not compressed with this quality."""
    if jpeg.noise or jpeg.quality > FINEST or jpeg.misfit(y) < MISFIT:
        return ()
    best = jpeg.with_options(quality=jpeg.find_quality(y))
    if best.misfit(y) < MISFIT:
        return (f"the picture was not compressed with quality {jpeg.quality:g}: give quality={best.quality:g}",)
    return (f"the picture does not look as if it was compressed with quality {jpeg.quality:g}",)


def _choose_std(prior: Prior, jpeg: Jpeg) -> float:
    std = 1.5 * ROUNDING * jpeg.smallest_step
    if not isinstance(prior, RestoringPrior):
        return std
    std = max(LEAST_STD, std)
    if prior.continuous:
        return std
    return float(min(prior.level_stds.tolist(), key=lambda level_std: abs(math.log(level_std / std))))


def _make_denoiser(
    prior: Prior, std: float, shape: tuple[int, ...], generator: Randomness
) -> Callable[[Tensor], Tensor]:
    """Return D: the prior's denoiser, or the prox of a hand-crafted one, which has a weight."""
    weight = getattr(prior, "weight", False)
    if weight is False:
        return lambda x: prior.prox(x, std**2, generator=generator)
    gamma = std / 2 / (weight or 1.0)  # the cells constrain the image, whatever the weight
    prox = getattr(prior, "make_prox", lambda _: prior.prox)(shape)
    return lambda x: cast(Tensor, prox(x, gamma))
