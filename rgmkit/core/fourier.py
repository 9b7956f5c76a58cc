"""What operators with a closed form in the Fourier domain share."""

from __future__ import annotations

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """`x` in a precision that has Fourier transforms: half precision becomes float32.

    >>> widen(torch.zeros(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def reciprocal(power: Tensor) -> Tensor:
    """`1 / power` for the squared singular values of an operator, and 0 where they count as null.

    Null is a singular value of at most `sqrt(eps)` times the largest one, with `eps` of the dtype
    (3.5e-4 in float32, 1.5e-8 in float64): there a rounding error of a measurement would grow by more
    than `1 / sqrt(eps)`, and what the operator loses is as small.

    >>> reciprocal(torch.tensor([4.0, 1e-9]))
    tensor([0.2500, 0.0000])
    """
    null = power <= torch.finfo(power.dtype).eps * power.max()
    return torch.where(null, 0, 1 / torch.where(null, 1, power))
