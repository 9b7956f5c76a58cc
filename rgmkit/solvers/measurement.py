"""What solvers compute from a measurement: noise stds, residuals, and whether an image has converged."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from rgmkit.core.iterated_prox import IteratedProx
from rgmkit.core.noise import white_std
from rgmkit.core.operator_levels import restore_measurement
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Problem
from rgmkit.errors import IncompatibleError

LEAST_NOISE = 1e-3  # relative to |A|, a quarter of an 8-bit grey level: no noise is taken as this
FINEST_NOISE = 1e-5  # the least noise std in any case, relative to |A|
LEAST_LOST = 0.1  # least std of the noise that models lost information
# Std that models lost information in the end: over weak noise, over `lost_std` for strong noise, and at least.
FOR_WEAK_NOISE, FOR_STRONG_NOISE, LEAST_LAST = 5.0, 2.5, 0.02
FOR_MOST_LOST, MOST_LOST, NOT_MEASURED = 0.2, 16, 2  # the least where nearly everything is lost; powers of the two
VANISHING = 10  # at so many times lost_std, a singular value that is still not measured vanishes
LARGEST_RAISE = 10.0  # largest factor by which a std is raised to reach that of level 1
MOST_NOISE = 2.0  # of a measurement that is restored as one of an operator's last level, relative to its noise
LARGEST_FALL = 4.0  # by which it is lowered if only level 1 has the full resolution
LOST_POWER, LOST_SLACK = 8, 0.05  # how much larger a residual may be where A loses nearly everything
LARGEST_FACTOR, HALVINGS = 1e4, 8  # of `reduce_residual`: the range of the weight, and the steps of the bisection
MISFIT = 1.5  # a residual of more than this times the noise is noted


def noise_of(problem: Problem) -> float:
    """Return the noise std that weights the fidelity, at least `least_noise |A|`."""
    assert problem.degradation is not None  # a restoration
    degradation = problem.degradation
    if degradation.noise is None:
        raise IncompatibleError(f"the noise of {degradation.title} is unknown: give noise=, its standard deviation")
    norm = problem.scale.largest_gain**0.5 if degradation.linear else 1.0
    std = white_std(degradation.noise)
    if std >= LEAST_NOISE * norm or problem.y is None:
        return std
    return max(std, least_noise(problem.rounding_step, std) * norm)


def least_noise(step: float | None, std: float) -> float:
    """Return the least noise std that counts: a quarter of the step to which a measurement was rounded, 1e-5 to 1e-3.

    Values that were not rounded have no least noise but 1e-5; without noise they are taken for 8 bits, 1e-3, since A
    is rarely known better.

    >>> least_noise(1 / 255, 0.0), round(least_noise(1 / 4095, 0.0), 6), least_noise(None, 0.0), least_noise(None, 1e-4)
    (0.001, 6.1e-05, 0.001, 1e-05)
    """
    if step is None:
        return FINEST_NOISE if std > 0 else LEAST_NOISE
    return LEAST_NOISE if step > 1 / 300 else max(FINEST_NOISE, step / 4)


def relative_noise(problem: Problem) -> float:
    """Return `noise / |A|`: the noise std of the part of the image that A measures best, in units of the image."""
    assert problem.degradation is not None  # a restoration
    noise = noise_of(problem)
    return noise / problem.scale.largest_gain**0.5 if problem.degradation.linear else noise


def initial_std(problem: Problem, std_of_lost: float) -> float:
    """Return the noise std at which to denoise the initial estimate: `sqrt(relative_noise^2 + lost std_of_lost^2)`.

    Lost information is modelled as additional Gaussian noise of std `std_of_lost`. `lost` is `OperatorScale.lost`,
    or 1 for an operator that is not linear.
    """
    assert problem.degradation is not None  # a restoration
    lost = problem.scale.lost if problem.degradation.linear else 1.0
    return math.hypot(relative_noise(problem), lost**0.5 * std_of_lost)


def information_std(problem: Problem, *, least: bool = True) -> float:
    """Return the std of the noise and the lost information in the end: `initial_std` with a smaller `std_of_lost`.

    With s the relative noise, that is `5 s / (1 + 2 s / lost_std)`: 5 times a weak noise, and 2.5 times `lost_std` for
    a strong one. It is at least .02 and, with `least`, at least `least_of_most_lost`.
    """
    weak, strong = FOR_WEAK_NOISE * relative_noise(problem), FOR_STRONG_NOISE * lost_std(problem.prior)
    bound = least_of_most_lost(problem) if least else 0.0
    return initial_std(problem, max(LEAST_LAST, bound, 1 / (1 / weak + 1 / strong)))


def least_of_most_lost(problem: Problem) -> float:
    """Return the least std of the lost information where A loses nearly everything: `.2 lost^16 l^2`.

    l is `Problem.lost_at` the weight `(10 lost_std / noise)^2`. A strong blur leaves smooth errors, which a denoiser
    at a small std takes for the image; that costs up to .4 dB. Its singular values vanish, and l stays large. Those of
    tomography and of the blur of a shaken camera fall slowly, l is small, and a larger std would cost up to 3 dB.
    """
    assert problem.degradation is not None  # a restoration
    if not problem.degradation.linear:
        return 0.0
    bound = FOR_MOST_LOST * problem.scale.lost**MOST_LOST
    if bound <= LEAST_LAST:  # whatever l is
        return 0.0
    return bound * problem.lost_at((VANISHING * lost_std(problem.prior) / noise_of(problem)) ** 2) ** NOT_MEASURED


def fixed_point_std(problem: Problem) -> float:
    """Return the std of the denoiser for splitting methods whose fixed point hardly depends on it.

    It is `information_std`, raised to the noise std of level 1 where it is smaller, by a factor of 10 at most. Below
    level 1 the denoiser only blends its input with the estimate of level 1; iterating at level 1 is 1 to 4 dB better.
    Where the levels above it have a lower resolution (`multiscale`), the std is also lowered to that of level 1, by a
    factor of 4 at most: up to .6 dB better.
    """
    std = information_std(problem)
    if not isinstance(problem.prior, RestoringPrior):
        return std
    falls = problem.scale.lost > 0 and not problem.prior.process.keeps_resolution
    lowest = std / LARGEST_FALL if falls else std
    return min(max(problem.prior.level_std(1), lowest), LARGEST_RAISE * std)


def nearest_level_std(prior: RestoringPrior, std: float) -> float:
    """Return the noise std of the level that is nearest to `std`, by their ratio."""
    return min(prior.level_stds.tolist(), key=lambda level_std: abs(math.log(level_std / std)))


def raised_factor(problem: Problem, std: float) -> float:
    """Return the factor, at least 1, by which the last std is raised above `information_std`."""
    return max(1.0, std / information_std(problem))


def restore_as_trained(
    problem: Problem, generator: Randomness, *, factor: float = math.inf
) -> tuple[Tensor, int] | None:
    """Restore `y` if the network was trained on its operator; return the estimate and the network evaluations.

    None if it was not, or if the noise is less than that of the least of these levels by more than `factor`, or greater
    than that of the last by more than a factor of 2.
    """
    assert problem.y is not None and problem.degradation is not None  # a restoration
    levels, noise = problem.operator_levels, noise_of(problem)
    if not levels or not levels[0].noise <= factor * noise or noise > MOST_NOISE * levels[-1].noise:
        return None
    prior = cast(RestoringPrior, problem.prior)
    return restore_measurement(prior, problem.y, problem.degradation, levels, noise, generator=generator)


def lost_std(prior: Prior) -> float:
    """Return the std of the noise that models lost information: that of the network's level 1, at least .1.

    Level 1 has the least noise that a network has learnt. With .02 in place of .1, blurred photographs lost 1 dB with a
    network whose first levels have little noise: its estimates changed too little.
    """
    return max(prior.level_std(1), LEAST_LOST) if isinstance(prior, RestoringPrior) else LEAST_LOST


@torch.no_grad()
def residuals(x: Tensor, problem: Problem) -> Tensor:
    """Return the root mean square of `A x - y` of each image, (B,), over the outputs that depend on the image."""
    assert problem.y is not None and problem.degradation is not None  # a restoration
    error = problem.degradation.A(x) - problem.y
    if not problem.degradation.linear:
        return rms(error)
    measured = problem.scale.measured
    return rms(error * measured) * (measured.numel() / measured.sum()) ** 0.5


@torch.no_grad()
def rms(error: Tensor) -> Tensor:
    """Return the root mean square over each image, (B,)."""
    return error.flatten(1).norm(dim=1) / max(1, error[0].numel()) ** 0.5


@torch.no_grad()
def change(before: Tensor, after: Tensor) -> Tensor:
    """Return `|after - before| / |after|` of each image, (B,)."""
    difference, norm = (after - before).flatten(1).norm(dim=1), after.flatten(1).norm(dim=1)
    return difference / norm.clamp(min=torch.finfo(norm.dtype).tiny)


def converged(before: Tensor, after: Tensor, problem: Problem, tolerance: float | Tensor) -> Tensor:
    """Tell which images, (B,), have a residual of at most the noise and a relative change of at most `tolerance`."""
    reached = residuals(after, problem) <= noise_of(problem)
    return reached & (change(before, after) <= tolerance)


def freeze_converged(done: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Return the `old` image where `done`, (B,), is true, and the `new` one elsewhere."""
    return torch.where(done.reshape(-1, *[1] * (new.ndim - 1)), old, new)


def reduce_residual(x: Tensor, problem: Problem, prox: IteratedProx, weight: float) -> Tensor:
    """Move each image towards the measurement until its residual agrees with the noise, see `largest_residual`.

    The result is the prox of the fidelity at `x` with the smallest weight that suffices, found by bisection between
    1e-4 times `weight` and `weight`. A larger weight would amplify what A or the noise does not explain: where `weight`
    does not suffice, it is used. Images whose residual is small enough are returned unchanged.

    Args:
        x: estimates, (B, C, H, W).
        problem: with a linear degradation.
        prox: of the fidelity.
        weight: of the fidelity, the largest.
    """
    target = largest_residual(problem)
    found = residuals(x, problem)
    far = found > target
    if not bool(far.any()):
        return x
    low, high = (torch.full_like(found, math.log(value)) for value in (weight / LARGEST_FACTOR, weight))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        reached = residuals(prox(x, middle.exp()), problem) <= target
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return freeze_converged(~far, x, prox(x, high.exp()))


def note_misfit(x: Tensor, problem: Problem) -> tuple[str, ...]:
    """Return a note if the residual of an estimate is much larger than the noise."""
    ratio = float(residuals(x, problem).max()) / noise_of(problem)
    if not ratio > MISFIT:
        return ()
    return (f"the residual is {ratio:.2g} times the noise: the degradation or its noise does not fit the measurement",)


def largest_residual(problem: Problem) -> float:
    """Return the largest residual that agrees with the noise: its std times a factor a little above 1.

    With m values and l = `lost^8` it is `1 + sqrt(1 / (2 m)) + l (.05 + sqrt(1 / (2 m)))`. The square root is the
    standard deviation of the root mean square of m values of noise (Morozov's principle). Where A loses nearly
    everything, a residual as small as the noise would have the image follow the noise.
    """
    deviation = (0.5 / int(problem.scale.measured.sum())) ** 0.5
    slack = problem.scale.lost**LOST_POWER * (LOST_SLACK + deviation)
    return (1 + deviation + slack) * noise_of(problem)


def residual_entry(x: Tensor, problem: Problem) -> dict[str, float]:
    """Return the "residual" entry of a trace row: the root mean square of `A x - y`; an empty dict without `y`."""
    if problem.y is None or problem.degradation is None:
        return {}
    return {"residual": float(residuals(x, problem).square().mean().sqrt())}


def trace_row(before: Tensor, after: Tensor, problem: Problem) -> dict[str, float]:
    """Return a row of the trace: the residual, and the largest relative change in the batch."""
    return residual_entry(after, problem) | {"change": float(change(before, after).max())}
