"""Padding of images for networks that halve the resolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad


def pad_to_multiple(y: Tensor, multiple: int) -> Tensor:
    """Pad `y` on the right and below to multiples, by reflection, or by repetition if it is too small.

    >>> import torch
    >>> pad_to_multiple(torch.zeros(1, 1, 5, 8), 4).shape
    torch.Size([1, 1, 8, 8])
    """
    below, right = -y.shape[-2] % multiple, -y.shape[-1] % multiple
    if not (below or right):
        return y
    mode = "reflect" if below < y.shape[-2] and right < y.shape[-1] else "replicate"
    return pad(y, (0, right, 0, below), mode=mode)
