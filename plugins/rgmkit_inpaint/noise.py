"""The noise of an image with holes, from its known pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from rgmkit.core.fourier import widen
from rgmkit.errors import DataError

LEAST = 48  # blocks: their median is right within 17 %
QUIET = 4  # the quietest quarter of the blocks counts
QUARTILE = 0.6745  # of |d|, with d standard normal


def haar_std(y: Tensor, known: Tensor) -> float:
    """The std of the white noise in the pixels of `y` (B, C, H, W) that are `known` (1, 1, H, W).

    `median |d| / .6745` over blocks of 2 x 2 known pixels, overlapping ones too, of all channels and images,
    with d the diagonal detail of the Haar transform. Of white noise the three details are independent, so
    that the quarter of the blocks where the other two are smallest has the same d, and the least of the
    image in it. Blocks with a pixel at the least or largest value, where values may be clipped, are left out.

    Raises:
        DataError: if there are fewer than 48 such blocks.

    Source: Donoho and Johnstone, 1994 (the median of the details).
    """
    x = widen(y)
    seen = x.masked_select(known)
    usable = known & (x > seen.min()) & (x < seen.max())
    whole = torch.stack(_corners(usable)).all(0)
    a, b, c, d = (corner[whole] for corner in _corners(x))
    if len(a) < LEAST:
        raise DataError(
            f"inpaint: the noise cannot be estimated, for only {len(a)} blocks of 2 x 2 pixels are known, of {LEAST} "
            f"that are needed: give noise=, its standard deviation"
        )
    across, down, diagonal = (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2
    texture = across.square() + down.square()
    quiet = texture <= texture.kthvalue(max(LEAST, len(a) // QUIET)).values
    return float(diagonal[quiet].abs().median()) / QUARTILE


def _corners(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four pixels of each block of 2 x 2, row by row."""
    return x[..., :-1, :-1], x[..., :-1, 1:], x[..., 1:, :-1], x[..., 1:, 1:]
