"""How many pixels a network may be shown at a time."""

from __future__ import annotations

import psutil
import torch

from rgmkit.core.locality import Locality

MOST = {"cpu": 2**30, "cuda": 2**32}  # bytes of features; larger tiles gain little
SHARE = 0.5  # of the memory that is free


def pixels(locality: Locality, *, dtype: torch.dtype, device: torch.device) -> int:
    """The pixels whose features fit in half of the free memory, in 1 GiB (4 GiB on a GPU) at the most.

    While that much is free, the number depends on the network alone, and so do the bits of an answer.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    budget = min(SHARE * free, MOST.get(device.type, MOST["cpu"]))
    return max(1, int(budget / (locality.floats_per_pixel * dtype.itemsize)))
