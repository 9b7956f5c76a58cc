"""Pictures to look at: the first one of an array, and several side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from rgmkit.images.picture import to_picture
from rgmkit.images.value_range import Range

SIDE, GAP = 256, 4  # height of a picture, and the white between two, in pixels
DOUBT = 0.1  # values further outside [0, 1] are not those of a picture


def make_view(
    array: Any, *, axes: str | None = None, range: Range | None = None, stretch: bool = False
) -> np.ndarray | None:
    """Make a view of the first picture of an array: uint8, (H, W) or (H, W, 3); None if it holds no picture.

    Complex values are shown by their magnitude, and so are pairs of channels; other numbers of channels by their mean.
    Values well outside [0, 1] are scaled to it.

    >>> make_view(torch.full((1, 3, 2, 2), 0.5)).tolist()[0]
    [[128, 128, 128], [128, 128, 128]]
    """
    x = to_picture(array, axes=axes, range=range).x
    if x.ndim != 4:
        return None
    x = x[0].abs() if x.is_complex() else x[0]
    if len(x) not in (1, 3):
        x = x.norm(dim=0, keepdim=True) if len(x) == 2 else x.mean(0, keepdim=True)
    low, high = float(x.min()), float(x.max())
    if stretch or low < -DOUBT or high > 1 + DOUBT:
        low = min(low, 0.0)
        x = (x - low) / (high - low or 1.0)
    view = (255 * x.clamp(0, 1)).round().to(torch.uint8).movedim(0, -1).numpy()
    return view[..., 0] if view.shape[-1] == 1 else view


def encode_views(views: Sequence[np.ndarray]) -> bytes:
    """Encode views as one small PNG, side by side, all of the same height."""
    pictures = []
    for view in views:
        width = max(1, min(4 * SIDE, round(SIDE * view.shape[1] / view.shape[0])))
        shrinks = view.shape[0] > SIDE
        pictures.append(
            Image.fromarray(view).resize((width, SIDE), Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST)
        )
    sheet = Image.new("RGB", (sum(picture.width + GAP for picture in pictures) - GAP, SIDE), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + GAP
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
