"""What is computed in float32 where features are in half precision."""

from __future__ import annotations

import torch


def precise(dtype: torch.dtype) -> torch.dtype:
    """float32 for half precision, else the same.

    >>> precise(torch.bfloat16), precise(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)
