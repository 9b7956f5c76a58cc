"""A distance between two sets of images, level by level."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]
"""`distance(x, y)` between two sets of vectors, (n, d) each: a scalar."""


def compare_levels(distance: Distance, real: Tensor, fake: Tensor, level: Tensor) -> Tensor:
    """Return the mean distance of the levels, each weighted by its share of the batch."""
    real, fake = (x.flatten(1).to(torch.promote_types(x.dtype, torch.float32)) for x in (real, fake))
    parts = [(level == each).nonzero()[:, 0] for each in level.unique()]
    with torch.autocast(real.device.type, enabled=False):  # distances in bfloat16 would be too coarse
        return torch.stack([distance(real[rows], fake[rows]) * (len(rows) / len(real)) for rows in parts]).sum()
