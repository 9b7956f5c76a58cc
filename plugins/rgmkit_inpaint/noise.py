"""The noise of an image with holes, from its known pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from rgmkit.core.fourier import widen
from rgmkit.errors import DataError

LEAST = 48  # blocks that are needed; the relative std of the estimate is then 17 %
SMOOTHEST = 4  # the smoothest 1 / SMOOTHEST of the blocks is used
QUARTILE = 0.6745  # of |d|, with d standard normal


def haar_std(y: Tensor, known: Tensor) -> float:
    """Estimate the std of white noise from the pixels of `y` (B, C, H, W) that are `known` (1, 1, H, W).

    The estimate is `median |d| / .6745` over blocks of 2 x 2 known pixels, overlapping ones included, of all channels
    and images, with d the diagonal detail of the Haar transform. Only the quarter of the blocks in which the other two
    details are smallest is used, where the image contributes least to d. The three details of white noise are
    independent, so that this choice does not change the distribution of d. Blocks with a pixel at the smallest or
    largest value are left out, since it may be clipped.

    Raises:
        DataError: if there are fewer than 48 blocks to choose from.

    Source: Donoho and Johnstone, 1994 (the median of the details).
    """
    x = widen(y)
    values = x.masked_select(known)
    usable = known & (x > values.min()) & (x < values.max())
    whole = torch.stack(_corners(usable)).all(0)
    a, b, c, d = (corner[whole] for corner in _corners(x))
    if len(a) < LEAST:
        raise DataError(
            f"inpaint: the noise cannot be estimated, for only {len(a)} blocks of 2 x 2 pixels are known, of {LEAST} "
            f"that are needed: give noise=, its standard deviation"
        )
    across, down, diagonal = (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2
    texture = across.square() + down.square()
    smooth = texture <= texture.kthvalue(max(LEAST, len(a) // SMOOTHEST)).values
    return float(diagonal[smooth].abs().median()) / QUARTILE


def _corners(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the four pixels of each block of 2 x 2, row by row."""
    return x[..., :-1, :-1], x[..., :-1, 1:], x[..., 1:, :-1], x[..., 1:, 1:]
