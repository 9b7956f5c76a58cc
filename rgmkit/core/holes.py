"""Fill the holes of an image from the pixels around them."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

SWEEPS = 2  # of smoothing at each scale, to hide the grid of the next coarser one


def fill_holes(x: Tensor, known: Tensor) -> Tensor:
    """Replace the pixels of `x` that are not `known` by averages of known pixels around them.

    From coarse to fine (pull-push): blocks of 2 x 2 pixels are averaged over their known pixels until nothing is
    missing. On the way back each hole takes the bilinear interpolation of the coarser image, and two averages over
    3 x 3 pixels smooth the result. The map is linear in `x`, keeps the known pixels and never leaves their range; it
    takes time in proportion to the number of pixels.

    Args:
        x: images, (B, C, H, W).
        known: booleans that broadcast to the shape of `x`, such as (1, 1, H, W).

    Source: Gortler et al., "The lumigraph", SIGGRAPH 1996.

    >>> import torch
    >>> x = torch.tensor([[[[0.0, 9.0, 0.5, 9.0, 1.0]]]])
    >>> fill_holes(x, x < 2).round(decimals=2)
    tensor([[[[0.0000, 0.2400, 0.5000, 0.7400, 1.0000]]]])
    """
    if bool(known.all()) or not bool(known.any()):
        return x.where(known, 0)
    height, width = x.shape[-2:]
    if height == width == 1:  # a channel without any known pixel gets the mean of the others
        count = known.expand(x.shape).sum(1, keepdim=True)
        return x.where(known, x.where(known, 0).sum(1, keepdim=True) / count.clamp(min=1))
    odd = (0, width % 2, 0, height % 2)
    share = avg_pool2d(pad(known.to(x), odd), 2)
    coarse = avg_pool2d(pad(x.where(known, 0), odd), 2) / share.where(share > 0, 1)
    guess = interpolate(fill_holes(coarse, share > 0), scale_factor=2.0, mode="bilinear")
    x = x.where(known, guess[..., :height, :width])
    for _ in range(SWEEPS):
        x = x.where(known, avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False))
    return x
