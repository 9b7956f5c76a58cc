"""Noise of any std by a ladder of levels: which levels answer, and how their answers are mixed."""

from __future__ import annotations

import torch
from torch import Tensor

from rgmkit.errors import ConfigError, IncompatibleError

LEFT = 0.1  # of the noise of level 1, as a variance: what the network leaves of it


def mixture(std: Tensor, noises: Tensor) -> tuple[Tensor, Tensor]:
    """The lower level, 0 (the image itself) … T, and the weight of the next one, for noise of each `std` (B,).

    `noises` are those of the levels 1 … T, rising. See `RestoringPrior.denoise` for the formulae.

    >>> mixture(torch.tensor([0.0, 0.2, 0.4, 9.0]), torch.tensor([0.2, 0.8]))
    (tensor([0, 1, 1, 2]), tensor([0.0000, 0.0000, 0.5000, 1.0000]))
    """
    lower, last = torch.bucketize(std, noises, right=True), len(noises)
    ratio = (std / noises[0]).square()
    below = (1 + LEFT) * ratio / (ratio + LEFT)
    start, end = noises[(lower - 1).clamp(min=0)], noises[lower.clamp(max=last - 1)]
    between = (std / start).log() / (end / start).log()
    return lower, torch.where(lower == 0, below, torch.where(lower == last, 1.0, between))


def stds(std: float | Tensor, n: int, like: Tensor) -> Tensor:
    """`std`, a number or a tensor of 1 or n values in any shape, as (n,) in the type and place of `like`.

    Raises:
        IncompatibleError: if there is another number of values.
        ConfigError: if one is negative or not finite.
    """
    values = torch.as_tensor(std, dtype=like.dtype, device=like.device).flatten()
    if len(values) not in (1, n):
        shape = tuple(torch.as_tensor(std).shape)
        raise IncompatibleError(f"sigma has the shape {shape} for a batch of {n}: give one number, or one per image")
    if not bool((values >= 0).all() and values.isfinite().all()):
        raise ConfigError(f"sigma is {values.tolist()}: give noise stds of 0 or more")
    return values.expand(n).contiguous()
