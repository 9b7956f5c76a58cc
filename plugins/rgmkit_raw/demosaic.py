"""Demosaicing by linear filters."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

CROSS = [[0, 1, 0], [1, 4, 1], [0, 1, 0]]
SQUARE = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
GREEN = [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]
"""Green at a red or blue pixel, times 8."""
BESIDE = [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]
"""Red or blue at a green pixel between two of them in its row, times 8; transposed, in its column."""
ACROSS = [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]
"""Red at a blue pixel, or blue at a red one, times 8."""


def interpolate_bilinear(y: Tensor, masks: Tensor) -> Tensor:
    """Interpolate each colour of raw pictures (B, 1, H, W) bilinearly.

    Args:
        y: raw pictures.
        masks: 1 where a pixel has a colour, else 0, (1, 3, H, W).
    """
    filters = y.new_tensor([SQUARE, CROSS, SQUARE])[:, None] / 4
    return conv2d(_extend(y * masks, 1), filters, groups=3)


def interpolate_with_gradients(y: Tensor, masks: Tensor) -> Tensor:
    """Interpolate each colour bilinearly and add a multiple of the Laplacian of the colour measured at the pixel.

    The arguments are those of `interpolate_bilinear`. Measured values are kept.

    Source: Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color images",
    2004.
    """
    filters = y.new_tensor([GREEN, BESIDE, [*zip(*BESIDE, strict=True)], ACROSS])[:, None] / 8
    green, beside, above, across = conv2d(_extend(y, 2), filters).split(1, 1)
    red_at, green_at, blue_at = masks.split(1, 1)
    in_row = (red_at.sum(-1, keepdim=True) > 0) * green_at  # green pixels in rows with red
    in_other = green_at - in_row
    return torch.cat(
        [
            red_at * y + in_row * beside + in_other * above + blue_at * across,
            green_at * y + (1 - green_at) * green,
            blue_at * y + in_other * beside + in_row * above + red_at * across,
        ],
        1,
    )


def _extend(x: Tensor, margin: int) -> Tensor:
    """Reflect images about the centres of their outermost pixels, which continues the pattern."""
    rows, columns = (torch.from_numpy(np.pad(np.arange(n), margin, mode="reflect")).to(x.device) for n in x.shape[-2:])
    return x[..., rows, :][..., columns]
