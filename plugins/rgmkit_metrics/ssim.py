"""Structural similarity."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from rgmkit.core.metric import Metric
from rgmkit.errors import IncompatibleError

STD, RADIUS = 1.5, 5  # the Gaussian window of Wang et al. 2004, 11 by 11 pixels
STRIP = 2**19  # values compared at a time, at 500 bytes of memory each


class SSIM(Metric):
    """Structural similarity, at most 1, computed in float64.

    A Gaussian window of 11 by 11 pixels, std 1.5, over the positions where it lies inside the image. For images
    with a side under 11 pixels it shrinks to fit, with a warning; such values can only be compared at the same size.
    Source: Wang, Bovik, Sheikh and Simoncelli, 2004.

    >>> x = torch.linspace(0, 1, 256).reshape(1, 1, 16, 16)
    >>> SSIM()(x, x)
    tensor([1.])
    """

    name = "SSIM"

    def measure(self, x: Tensor, truth: Tensor | None) -> Tensor:
        """Measure each image.

        Raises:
            IncompatibleError: if a side is under 3 pixels.
        """
        assert truth is not None
        (height, width), size = x.shape[-2:], f"{x.shape[-2]}x{x.shape[-1]}"
        radius = min(RADIUS, (min(height, width) - 1) // 2)
        if radius < 1:
            raise IncompatibleError(f"images of {size} pixels have no SSIM: it needs sides of 3 or more")
        std = STD
        if radius < RADIUS:
            std = radius / 3.5  # the std at which torchmetrics takes a window of this radius
            warnings.warn(
                f"SSIM of {size} images uses a window of {2 * radius + 1} pixels in place of 11", stacklevel=3
            )
        positions = (height - 2 * radius) * (width - 2 * radius) * x.shape[1]
        return (_sum_over_strips(x, truth, std, radius) / positions).to(x)


def _sum_over_strips(x: Tensor, truth: Tensor, std: float, radius: int) -> Tensor:
    """Sum SSIM over the positions of the window, strip by strip, so that a large image fits into memory: (B,)."""
    inner = x.shape[-2] - 2 * radius
    rows = max(1, STRIP // (x.numel() // x.shape[-2]))
    strips = [slice(top, min(top + rows, inner) + 2 * radius) for top in range(0, inner, rows)]
    return torch.stack([_sum(x[..., strip, :], truth[..., strip, :], std, radius) for strip in strips]).sum(0)


def _sum(x: Tensor, truth: Tensor, std: float, radius: int) -> Tensor:
    """Sum SSIM over the positions of the window inside the images, as scikit-image does: (B,)."""
    from torchmetrics.functional.image import structural_similarity_index_measure  # takes seconds to import

    _, at_pixels = structural_similarity_index_measure(
        as_double(x), as_double(truth), sigma=std, data_range=1.0, reduction="none", return_full_image=True
    )
    return at_pixels[..., radius:-radius, radius:-radius].flatten(1).sum(1)


def as_double(x: Tensor) -> Tensor:
    """Convert to float64, on the CPU where the device has none."""
    try:
        return x.double()
    except TypeError:
        return x.cpu().double()
