"""Helpers for operators with a closed form in the Fourier domain."""

from __future__ import annotations

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """Convert half precision, which has no Fourier transforms, to float32.

    >>> widen(torch.zeros(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def reciprocal(power: Tensor) -> Tensor:
    """Return `1 / power` for the squared singular values of an operator, and 0 for those that count as zero.

    A singular value counts as zero if it is at most `sqrt(eps)` times the largest one, with `eps` of the dtype
    (3.5e-4 in float32, 1.5e-8 in float64): its inverse would amplify rounding errors by more than `1 / sqrt(eps)`.

    >>> reciprocal(torch.tensor([4.0, 1e-9]))
    tensor([0.2500, 0.0000])
    """
    null = power <= torch.finfo(power.dtype).eps * power.max()
    return torch.where(null, 0, 1 / torch.where(null, 1, power))
