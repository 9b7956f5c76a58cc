"""How many pixels a network can process at a time."""

from __future__ import annotations

import torch

from rgmkit.core.locality import Locality
from rgmkit.runtime.device import free_memory, is_accelerator

MAX_BYTES, ACCELERATOR_MAX_BYTES = 2**30, 2**32  # of features; larger tiles gain little
SHARE = 0.5  # of the free memory


def max_pixels(locality: Locality, *, dtype: torch.dtype, device: torch.device) -> int:
    """Return how many pixels have features that fit in half of the free memory, at most 1 GiB (4 GiB on accelerators).

    Where that much memory is free, the number depends on the network alone, so that results are reproducible.
    """
    budget = min(SHARE * free_memory(device), ACCELERATOR_MAX_BYTES if is_accelerator(device) else MAX_BYTES)
    return max(1, int(budget / (locality.floats_per_pixel * dtype.itemsize)))
