"""How far an image is from the truth: per image, on [0, 1] with data range 1."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from rgmkit.errors import ConfigError, IncompatibleError, suggest

Metric: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""`metric(x, reference)` of images (B, C, H, W): a figure of each, (B,); higher is better."""

SSIM_STD, SSIM_RADIUS = 1.5, 5  # the Gaussian window of Wang et al. 2004, 11 by 11 pixels
STRIP = 2**20  # values compared at a time: SSIM takes 250 bytes for each


def psnr(x: Tensor, reference: Tensor) -> Tensor:
    """`-10 log10 mean((x - reference)^2)` in dB for images (B, C, H, W): (B,). Higher is better.

    Equal images give infinity. Values outside [0, 1] count as they are.

    Raises:
        IncompatibleError: if the shapes differ.

    >>> import torch
    >>> psnr(torch.full((1, 1, 8, 8), 0.6), torch.full((1, 1, 8, 8), 0.5)).round(decimals=2)
    tensor([20.])
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio  # takes seconds to import

    _check(x, reference)
    return peak_signal_noise_ratio(x, reference, data_range=1.0, reduction="none", dim=(1, 2, 3))


def ssim(x: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity of images (B, C, H, W), at most 1: (B,). Higher is better.

    A Gaussian window of 11 by 11 pixels, std 1.5, over the positions where it lies inside the image.
    For images with a side under 11 pixels it shrinks to fit, with a warning, and the value compares
    with others of that size only. Source: Wang, Bovik, Sheikh and Simoncelli, 2004.

    Raises:
        IncompatibleError: if the shapes differ or a side is under 3 pixels.

    >>> import torch
    >>> x = torch.linspace(0, 1, 256).reshape(1, 1, 16, 16)
    >>> ssim(x, x)
    tensor([1.])
    """
    _check(x, reference)
    radius = min(SSIM_RADIUS, (min(x.shape[-2:]) - 1) // 2)
    if radius < 1:
        raise IncompatibleError(f"images of {_size(x)} pixels have no SSIM: it needs sides of 3 or more")
    std = SSIM_STD
    if radius < SSIM_RADIUS:
        std = radius / 3.5  # the std at which torchmetrics takes a window of this radius
        warnings.warn(
            f"SSIM of {_size(x)} images uses a window of {2 * radius + 1} pixels in place of 11", stacklevel=2
        )
    inner = x.shape[-2] - 2 * radius
    rows = max(1, STRIP // (x.numel() // x.shape[-2]))
    strips = [slice(top, min(top + rows, inner) + 2 * radius) for top in range(0, inner, rows)]
    total = torch.stack([_ssim_sum(x[..., strip, :], reference[..., strip, :], std, radius) for strip in strips]).sum(0)
    return (total / (x[0, :, 0].numel() - 2 * radius * x.shape[1]) / inner).to(x.dtype)


def _ssim_sum(x: Tensor, reference: Tensor, std: float, radius: int) -> Tensor:
    """SSIM summed over the positions of the window inside the images, as scikit-image does: (B,), float64."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, at_pixels = structural_similarity_index_measure(
        x, reference, sigma=std, data_range=1.0, reduction="none", return_full_image=True
    )
    return at_pixels[..., radius:-radius, radius:-radius].flatten(1).sum(1, dtype=torch.float64)


METRICS: dict[str, Metric] = {"psnr": psnr, "ssim": ssim}
"""The metrics by name."""


def metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        ConfigError: if there is none, with the nearest name.

    >>> metric("psnr") is psnr
    True
    """
    if name not in METRICS:
        raise ConfigError(f"no metric is named {name!r}: {suggest(name, METRICS)}")
    return METRICS[name]


def _check(x: Tensor, reference: Tensor) -> None:
    if x.shape != reference.shape or x.ndim != 4:
        raise IncompatibleError(
            f"images of shape {tuple(x.shape)} and {tuple(reference.shape)} cannot be compared: "
            f"give two batches (B, C, H, W) of one shape"
        )


def _size(x: Tensor) -> str:
    return f"{x.shape[-2]}x{x.shape[-1]}"
