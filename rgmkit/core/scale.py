"""The scale of a linear operator: its norm, how much of the image it loses, and which outputs depend on the image.

Multiplying operator and noise by the same number does not change the problem. Solvers therefore scale every step,
weight and noise std by the norm found here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import operator_norm
from rgmkit.core.random import randn, seeded
from rgmkit.errors import IncompatibleError

ROUNDING = 1e-4  # a lost fraction below this counts as none: the operator may be lossless in exact arithmetic
NORM_STEPS, NORM_RTOL = 20, 1e-3  # most steps of the power iteration, and the relative change that ends it
LINEAR_RTOL = 1e-3  # relative error of A(a + b) = A(a) + A(b) above which A is not linear
MEASURED = 1e-6  # relative response to white noise below which an output does not depend on the image


@dataclass(frozen=True, eq=False)
class OperatorScale:
    """The largest and the mean squared singular value of A, and the outputs that depend on the image.

    Attributes:
        largest_gain: `|A|^2`, the largest squared singular value.
        mean_gain: `|A|_F^2 / n`, the mean squared singular value over the n pixels of an image; at most `largest_gain`.
        measured: booleans (1, ...), in the shape of one measurement: False for an output that is 0 for every image.
        excess: by how much the `|A|^2` of a whitened operator may exceed `largest_gain`, that of the operator itself.
    """

    largest_gain: float
    mean_gain: float
    measured: Tensor
    excess: float = 1.0

    @property
    def lost(self) -> float:
        """Fraction of the image that A loses, `1 - mean_gain / largest_gain`: 0 if all singular values are equal."""
        lost = 1 - self.mean_gain / self.largest_gain
        return 0.0 if lost < ROUNDING else lost


@torch.no_grad()
def measure_scale(degradation: Degradation, shape: tuple[int, ...], y: Tensor) -> OperatorScale:
    """Measure the scale of a linear operator with fixed images of white noise: the same for every batch and seed.

    `|A|^2` is estimated by power iteration, from below.

    Args:
        degradation: A.
        shape: of the images, (B, C, H, W).
        y: a measurement; only its dtype and device are used.

    Raises:
        IncompatibleError: if A gives values that are not finite, measures nothing, or is not linear although its class
            says so.
    """
    e = randn((1, *shape[1:]), generator=seeded(0), device=y.device, dtype=y.real.dtype)
    Ae = degradation.A(e)
    mean_gain = _check_gain(float(Ae.abs().square().sum() / e.square().sum()), degradation)
    _check_linear(degradation, e, Ae)
    largest_gain = operator_norm(
        lambda x: degradation.adjoint(degradation.A(x)),
        shape,
        generator=seeded(0),
        dtype=e.dtype,
        device=y.device,
        rtol=NORM_RTOL,
        max_steps=NORM_STEPS,
    )
    response = Ae.abs()
    largest_gain = max(mean_gain, _check_gain(largest_gain, degradation))
    return OperatorScale(largest_gain, mean_gain, response > MEASURED * response.max())


def _check_gain(gain: float, degradation: Degradation) -> float:
    if gain != gain or gain == float("inf"):
        raise IncompatibleError(
            f"{degradation.title}.A gives values that are not finite for an image of finite values: "
            f"check its parameters for NaN, infinities and divisions by 0"
        )
    if gain == 0:
        raise IncompatibleError(f"{degradation.title}.A is 0 for white noise: it measures nothing")
    return gain


def _check_linear(degradation: Degradation, e: Tensor, Ae: Tensor) -> None:
    """Raise unless `A(e + b) = A(e) + A(b)` for `b` another image of noise, a uniform grey and 0."""
    other = randn(e.shape, generator=seeded(1), device=e.device, dtype=e.dtype)
    for b in (other, torch.full_like(e, 0.5), torch.zeros_like(e)):
        Ab = degradation.A(b)
        error = (degradation.A(e + b) - Ae - Ab).abs().square().sum().sqrt()
        if not float(error) <= LINEAR_RTOL * float(Ae.abs().square().sum().sqrt() + Ab.abs().square().sum().sqrt()):
            raise IncompatibleError(
                f"{degradation.title} says that it is linear, but A(a + b) is not A(a) + A(b): "
                f"remove offsets, clipping and rounding from A, or set linear = False"
            )
