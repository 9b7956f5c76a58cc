"""The precision of computations that half precision would spoil."""

from __future__ import annotations

import torch


def promote_half(dtype: torch.dtype) -> torch.dtype:
    """Return float32 for half precision, else the same.

    >>> promote_half(torch.bfloat16), promote_half(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)
