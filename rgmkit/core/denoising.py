"""Denoise at any std with a network that has learnt a few levels: which levels to use, with which weights."""

from __future__ import annotations

import torch
from torch import Tensor

from rgmkit.errors import ConfigError, IncompatibleError

SAME_STD = 1e-3  # relative difference to the noise std of level 1 below which level 1 is used alone
RESIDUAL = 0.1  # variance of the residual noise after denoising at level 1, as a share of the noise of that level


def find_levels(std: Tensor, level_stds: Tensor) -> tuple[Tensor, Tensor]:
    """Find the lower level, 0 (the image itself) … T, and the weight of the next one, for noise of each `std` (B,).

    `level_stds` are the noise stds of the levels 1 … T, increasing. See `RestoringPrior.denoise` for the formulae.

    >>> find_levels(torch.tensor([0.0, 0.2, 0.4, 9.0]), torch.tensor([0.2, 0.8]))
    (tensor([0, 1, 1, 2]), tensor([0.0000, 0.0000, 0.5000, 1.0000]))
    """
    std = std.where((std / level_stds[0] - 1).abs() > SAME_STD, level_stds[0])
    lower, last = torch.bucketize(std, level_stds, right=True), len(level_stds)
    ratio = (std / level_stds[0]).square()
    below = (1 + RESIDUAL) * ratio / (ratio + RESIDUAL)
    start, end = level_stds[(lower - 1).clamp(min=0)], level_stds[lower.clamp(max=last - 1)]
    between = (std / start).log() / (end / start).log()
    return lower, torch.where(lower == 0, below, torch.where(lower == last, 1.0, between))


def find_shrinkage(change: Tensor, removal: Tensor, std: Tensor, level_std: Tensor) -> Tensor:
    """Return the largest weight of an estimate G(x) that is made for more noise, (B,).

    Stein's unbiased estimate of the risk of `x + w (G(x) - x)` is least for `w = -std^2 div(G - id) / |G(x) - x|^2`.
    This is divided by `1 - r^2`, with `r = (std / level_std)^2`: at `level_std` the weight is not bounded.

    Args:
        change: `G(x) - x`.
        removal: `-div(G - id) / n`, (B,), see `RestoringPrior.measure_removal`.
        std: of the noise of x, (B,).
        level_std: for which G is made.

    Source: Stein, "Estimation of the mean of a multivariate normal distribution", 1981; Ramani, Blu and Unser,
    "Monte-Carlo SURE", 2008, for the divergence.

    >>> x = torch.zeros(1, 1, 2, 2)
    >>> find_shrinkage(x + 0.1, torch.tensor([0.2]), torch.tensor([0.1]), torch.tensor(1000.0))
    tensor([0.2000])
    """
    size = change.flatten(1).square().mean(1) * (1 - (std / level_std) ** 4)
    return std.square() * removal.clamp(min=0) / size.clamp(min=torch.finfo(size.dtype).tiny)


def expand_std(std: float | Tensor, n: int, like: Tensor) -> Tensor:
    """Expand `std`, a number or a tensor of 1 or n values in any shape, to (n,) in the dtype and device of `like`.

    Raises:
        IncompatibleError: if it has another number of values.
        ConfigError: if a value is negative or not finite.
    """
    values = torch.as_tensor(std, dtype=like.dtype, device=like.device).flatten()
    if len(values) not in (1, n):
        shape = tuple(torch.as_tensor(std).shape)
        raise IncompatibleError(f"the noise std has shape {shape} for a batch of {n}: give one number or one per image")
    if not bool((values >= 0).all() and values.isfinite().all()):
        raise ConfigError(f"the noise std is {values.tolist()}: give 0 or more")
    return values.expand(n).contiguous()
