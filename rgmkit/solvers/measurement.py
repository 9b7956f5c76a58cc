"""What solvers ask of a measurement: its noise, how much of the image is measured, how large the residual is."""

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

LEAST_NOISE = 1e-3  # a quarter of a grey value of 8 bits: no measurement counts as more exact
ROUNDING = 1e-4  # a lost fraction below this counts as none: the operator may be lossless in exact arithmetic
LEAST_LOST = 0.1  # least noise std that models lost information


def noise_of(degradation: Degradation) -> float:
    """Return the noise std that weights the fidelity, at least 1e-3."""
    if degradation.noise is None:
        raise IncompatibleError(f"the noise of {degradation.title} is unknown: give noise=, its standard deviation")
    return max(degradation.noise, LEAST_NOISE)


def gain(degradation: Degradation, shape: tuple[int, ...], y: Tensor) -> float:
    """Estimate the mean squared singular value of A, `|A|_F^2 / n` over n pixels, from a fixed image of white noise.

    Args:
        degradation: A.
        shape: of the images, (B, C, H, W).
        y: a measurement, for its dtype and device.

    Raises:
        IncompatibleError: if A is 0.
    """
    e = randn((1, *shape[1:]), generator=seeded(0), device=y.device, dtype=y.real.dtype)
    return check_norm(float(degradation.A(e).abs().square().sum() / e.square().sum()), degradation)


def measured_fraction(problem: Problem) -> float:
    """Return the fraction of the image that is measured: `min(1, gain)`; 0 for an operator that is not linear."""
    assert problem.y is not None and problem.degradation is not None  # a restoration
    if not problem.degradation.linear:
        return 0.0
    found = gain(problem.degradation, problem.shape, problem.y)
    return 1.0 if found > 1 - ROUNDING else found


def initial_std(problem: Problem, lost_std: float, *, fraction: float | None = None) -> float:
    """Return the noise std to denoise the first estimate with: `sqrt(noise^2 + (1 - measured_fraction) lost_std^2)`.

    Lost information is modelled as additional Gaussian noise of std `lost_std`. `fraction` is `measured_fraction`, if
    it is known already.
    """
    lost = 1 - (measured_fraction(problem) if fraction is None else fraction)
    return math.hypot(noise_of(cast(Degradation, problem.degradation)), lost**0.5 * lost_std)


def lost_std(prior: Prior) -> float:
    """Return the std of the noise that models lost information: that of the network's level 1, at least .1.

    Level 1 is the least noise that a network has learnt. At .02 in place of .1, blurred photographs lost 1 dB with a
    network whose first levels have little noise: its estimates moved too little.
    """
    return max(prior.level_std(1), LEAST_LOST) if isinstance(prior, RestoringPrior) else LEAST_LOST


def check_norm(norm: float, degradation: Degradation) -> float:
    """Return the norm of an operator, or raise an IncompatibleError if it is 0 or not finite."""
    if not 0 < norm < float("inf"):
        raise IncompatibleError(f"{degradation.title} has the norm {norm}: it measures nothing")
    return norm


def residuals(x: Tensor, problem: Problem) -> Tensor:
    """Return the root mean square of `A x - y` of each image, (B,)."""
    assert problem.y is not None and problem.degradation is not None  # a restoration
    return rms(problem.degradation.A(x) - problem.y)


def rms(error: Tensor) -> Tensor:
    """Return the root mean square of each image, (B,)."""
    return error.flatten(1).norm(dim=1) / max(1, error[0].numel()) ** 0.5


def change(before: Tensor, after: Tensor) -> Tensor:
    """Return `|after - before| / |after|` of each image, (B,)."""
    step, size = (after - before).flatten(1).norm(dim=1), after.flatten(1).norm(dim=1)
    return step / size.clamp(min=torch.finfo(size.dtype).tiny)


def converged(before: Tensor, after: Tensor, problem: Problem, tolerance: float) -> Tensor:
    """Tell which images have a residual of at most the noise and change by at most `tolerance`, (B,)."""
    assert problem.degradation is not None  # a restoration
    reached = residuals(after, problem) <= noise_of(problem.degradation)
    return reached & (change(before, after) <= tolerance)


def freeze_converged(done: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Return the `old` image where it is done, (B,), and the `new` one elsewhere."""
    return torch.where(done.reshape(-1, *[1] * (new.ndim - 1)), old, new)


def residual(x: Tensor, problem: Problem) -> dict[str, float]:
    """Return the root mean square of `A x - y` over the batch, for the trace; nothing without a measurement."""
    if problem.y is None or problem.degradation is None:
        return {}
    return {"residual": float(residuals(x, problem).square().mean().sqrt())}


def trace_row(before: Tensor, after: Tensor, problem: Problem) -> dict[str, float]:
    """Return a row of the trace: the residual, and the largest change in the batch."""
    return residual(after, problem) | {"change": float(change(before, after).max())}
