"""Where solvers start: a first estimate of the image, from the measurement and the operator alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rgmkit.core.holes import fill_holes
from rgmkit.core.random import randn, seeded

if TYPE_CHECKING:
    from rgmkit.core.degradation import Degradation

LEAST_GAIN = 0.05  # relative to the largest gain; a pixel with less counts as missing


def backproject(degradation: Degradation, y: Tensor) -> Tensor:
    """Return `A^T y / A^T A 1`, pixel by pixel, with the pixels that are hardly measured filled from their neighbours.

    The gain `A^T A 1` is the value of `A^T y` at each pixel if the image is uniformly 1. If it is everywhere small
    compared with the mean squared singular value c, as for an operator that removes the mean of the image, the result
    is `g + A^T (y - A g) / c` with a uniform grey g.
    """
    back = degradation.adjoint(y)
    one = torch.ones_like(back[:1])
    gain = degradation.adjoint(degradation.A(one))
    e = randn(one.shape, generator=seeded(0), device=one.device, dtype=one.dtype)
    mean_gain = degradation.A(e).abs().square().sum() / e.square().sum()
    known = gain > LEAST_GAIN * torch.maximum(gain.max(), mean_gain)
    if not bool(known.any()):
        grey = 0.5 * one
        return grey + (back - 0.5 * gain) / mean_gain.clamp(min=torch.finfo(back.dtype).tiny)
    estimate = torch.where(known, back / gain.where(known, 1), 0)
    return fill_holes(estimate, known) if estimate.ndim == 4 else estimate
