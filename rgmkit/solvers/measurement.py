"""What solvers ask of a measurement: its noise, what the operator leaves, how far the answer is."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.random import randn, seeded
from rgmkit.core.solver import Problem
from rgmkit.errors import IncompatibleError

LEAST_NOISE = 1e-3  # a quarter of a grey value of 8 bits: a measurement is never more exact than this
ROUNDING = 1e-4  # an operator that keeps all but this share of an image loses nothing: it may be exact in float64
LEAST_LOSS = 0.1  # what an operator loses of a picture counts as no less noise than this


def noise_of(degradation: Degradation) -> float:
    """The noise std that weighs the fidelity; at least 1e-3, so that no weight is infinite."""
    if degradation.noise is None:
        raise IncompatibleError(f"the noise of {degradation.title} is unknown: give noise=, its standard deviation")
    return max(degradation.noise, LEAST_NOISE)


def gain(degradation: Degradation, shape: tuple[int, ...], y: Tensor) -> float:
    """`|A|_F^2 / n`, the mean squared singular value over the n pixels, from one image of white noise, always the same.

    Args:
        degradation: A.
        shape: of the images, (B, C, H, W).
        y: a measurement, for its type and device.

    Raises:
        IncompatibleError: if A is 0.
    """
    e = randn((1, *shape[1:]), generator=seeded(0), device=y.device, dtype=y.real.dtype)
    return positive(float(degradation.A(e).abs().square().sum() / e.square().sum()), degradation)


def measured_fraction(problem: Problem) -> float:
    """The share of the image that is measured: `gain`, 1 at the most; 0 for an operator that is not linear."""
    assert problem.y is not None and problem.degradation is not None  # a problem of restoring
    if not problem.degradation.linear:
        return 0.0
    found = gain(problem.degradation, problem.shape, problem.y)
    return 1.0 if found > 1 - ROUNDING else found


def start_std(problem: Problem, loss: float, *, known: float | None = None) -> float:
    """The std of the first guess, what is lost counted as `loss`: `sqrt(noise^2 + (1 - measured_fraction) loss^2)`.

    It follows noise and operator without a jump, and is the noise itself where nothing is lost. `known` is
    `measured_fraction`, where that was measured already.
    """
    lost = 1 - (measured_fraction(problem) if known is None else known)
    return math.hypot(noise_of(cast(Degradation, problem.degradation)), lost**0.5 * loss)


def loss_std(prior: Prior) -> float:
    """The std that what an operator loses counts as: the noise of level 1 of a network with levels, and at least .1.

    It is no noise, but the network can put it right as if it were. Level 1 is the least that it has learnt; a network
    with levels of little noise would move too little at that: blurred photographs lost 1 dB with .02 in place of .1.
    """
    return max(prior.noise(1), LEAST_LOSS) if isinstance(prior, RestoringPrior) else LEAST_LOSS


def positive(norm: float, degradation: Degradation) -> float:
    """`norm`, if it is that of an operator which measures something."""
    if not 0 < norm < float("inf"):
        raise IncompatibleError(f"{degradation.title} has the norm {norm}: it measures nothing")
    return norm


def residuals(x: Tensor, problem: Problem) -> Tensor:
    """`|A x - y|` per pixel (root mean square) of each image, (B,)."""
    assert problem.y is not None and problem.degradation is not None  # a problem of restoring
    return rms(problem.degradation.A(x) - problem.y)


def rms(error: Tensor) -> Tensor:
    """The root mean square of each image, (B,)."""
    return error.flatten(1).norm(dim=1) / max(1, error[0].numel()) ** 0.5


def change(before: Tensor, after: Tensor) -> Tensor:
    """`|after - before| / |after|` of each image, (B,)."""
    step, size = (after - before).flatten(1).norm(dim=1), after.flatten(1).norm(dim=1)
    return step / size.clamp(min=torch.finfo(size.dtype).tiny)


def converged(before: Tensor, after: Tensor, problem: Problem, tolerance: float) -> Tensor:
    """Which images have reached the noise of the measurement and change by no more than `tolerance`: (B,)."""
    assert problem.degradation is not None  # a problem of restoring
    reached = residuals(after, problem) <= noise_of(problem.degradation)
    return reached & (change(before, after) <= tolerance)


def freeze_converged(done: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """`old` where an image is done, (B,), and `new` elsewhere."""
    return torch.where(done.reshape(-1, *[1] * (new.ndim - 1)), old, new)


def residual(x: Tensor, problem: Problem) -> dict[str, float]:
    """The root mean square of `A x - y` over the batch, for the trace; nothing without a measurement."""
    if problem.y is None or problem.degradation is None:
        return {}
    return {"residual": float(residuals(x, problem).square().mean().sqrt())}


def trace_row(before: Tensor, after: Tensor, problem: Problem) -> dict[str, float]:
    """A row of the trace: the residual, and the largest change in the batch."""
    return residual(after, problem) | {"change": float(change(before, after).max())}
