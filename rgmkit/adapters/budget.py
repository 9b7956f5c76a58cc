"""How many pixels a network may be shown at a time."""

from __future__ import annotations

import torch

from rgmkit.core.locality import Locality
from rgmkit.runtime.device import free_memory, is_accelerator

MOST, ACCELERATOR_MOST = 2**30, 2**32  # bytes of features; larger tiles gain little
SHARE = 0.5  # of the memory that is free


def pixels(locality: Locality, *, dtype: torch.dtype, device: torch.device) -> int:
    """The pixels whose features fit in half of the free memory, in 1 GiB (4 GiB on an accelerator) at the most.

    While that much is free, the number depends on the network alone, and so do the bits of an answer.
    """
    budget = min(SHARE * free_memory(device), ACCELERATOR_MOST if is_accelerator(device) else MOST)
    return max(1, int(budget / (locality.floats_per_pixel * dtype.itemsize)))
