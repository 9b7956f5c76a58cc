"""Many images on one sheet."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.utils import make_grid

from rgmkit.errors import ConfigError, IncompatibleError


def make_sheet(images: Tensor, *, columns: int | None = None, enlarge: int = 1, gap: int = 2) -> Tensor:
    """Arrange images `(N, C, H, W)` row by row on a white sheet `(C, H', W')`.

    Args:
        columns: images in a row. Default: about as many as there are rows.
        enlarge: side, in pixels of the sheet, of one pixel of an image.
        gap: white pixels around each image.

    >>> make_sheet(torch.zeros(7, 1, 8, 8), columns=4, enlarge=2).shape
    torch.Size([1, 38, 74])
    """
    if images.ndim != 4 or len(images) == 0:
        raise IncompatibleError(f"a sheet is made of images (N, C, H, W), N >= 1; these have {tuple(images.shape)}")
    if (columns is not None and columns < 1) or enlarge < 1 or gap < 0:
        raise ConfigError(f"columns {columns}, enlarge {enlarge}, gap {gap}: give 1 or more (a gap: 0 or more)")
    large = images.repeat_interleave(enlarge, -2).repeat_interleave(enlarge, -1)
    columns = columns or math.ceil(math.sqrt(len(images)))
    if len(images) == 1:  # make_grid would leave the gap out
        return torch.nn.functional.pad(large[0], (gap,) * 4, value=1.0)
    sheet = make_grid(large, nrow=columns, padding=gap, pad_value=1.0)
    return sheet[: images.shape[1]]  # make_grid repeats a grey channel three times
