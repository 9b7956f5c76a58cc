"""How an image is extended beyond its border before it is convolved, and the transpose of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Boundary = Literal["circular", "reflect", "mirror", "replicate", "valid"]
PAD_MODES = {"reflect": "symmetric", "mirror": "reflect", "replicate": "edge"}
"""The mode of `numpy.pad` for each boundary that extends the image."""


def extend(x: Tensor, margin: Sequence[int], boundary: str) -> Tensor:
    """Extend images by a margin of (rows, columns) on each side.

    >>> extend(torch.tensor([[[[1, 2, 3]]]]), (0, 2), "reflect")
    tensor([[[[2, 1, 1, 2, 3, 3, 2]]]])
    """
    rows, columns = _sources(x.shape[-2:], margin, boundary, x.device)
    return x[..., rows, :][..., columns]


def fold(x: Tensor, margin: Sequence[int], boundary: str) -> Tensor:
    """Add the margin of extended images to the pixels that it comes from: the transpose of `extend`.

    >>> fold(torch.ones(1, 1, 1, 7), (0, 2), "reflect")
    tensor([[[[2., 3., 2.]]]])
    """
    height, width = (n - 2 * m for n, m in zip(x.shape[-2:], margin, strict=True))
    rows, columns = _sources((height, width), margin, boundary, x.device)
    folded = x.new_zeros(*x.shape[:-2], height, x.shape[-1]).index_add(-2, rows, x)
    return x.new_zeros(*x.shape[:-2], height, width).index_add(-1, columns, folded)


def _sources(size: Sequence[int], margin: Sequence[int], boundary: str, device: torch.device) -> list[Tensor]:
    """Return the row, and the column, of the image that each of the extended image is a copy of."""
    mode = PAD_MODES[boundary]
    pairs = zip(size, margin, strict=True)
    return [torch.from_numpy(np.pad(np.arange(n), m, mode=mode)).to(device) for n, m in pairs]  # type: ignore[call-overload]
