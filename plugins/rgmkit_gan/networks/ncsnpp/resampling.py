"""Resampling by two: with the filter [1, 3, 3, 1], or by repetition and averages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from rgmkit_gan.networks.ncsnpp.filtering import Taps, apply_filter, double, halve

Resampling = Literal["fir", "plain"]


class Resampler(nn.Module, ABC):
    """Double or halve the resolution of `(B, C, H, W)`; an odd last row or column is dropped by `down`."""

    strided: str  # name of the 3x3 convolution of stride 2, where a network has one

    @abstractmethod
    def up(self, h: Tensor) -> Tensor:
        """Double the resolution."""

    @abstractmethod
    def down(self, h: Tensor) -> Tensor:
        """Halve the resolution."""

    @abstractmethod
    def before_stride(self, h: Tensor) -> Tensor:
        """Prepare `h` for an unpadded 3x3 convolution of stride 2."""


@final
class FIR(Resampler):
    """The outer product `w` of [1, 3, 3, 1] with itself, normalised to sum 1; zeros outside the image.

    `up(h) = 4 w * (h with zeros between)`, `down(h)` every second value of `w * h`. Inside the image both are
    linear interpolation, the latter with antialiasing.

    >>> FIR().down(torch.ones(1, 1, 6, 6))[0, 0, 1]
    tensor([0.8750, 1.0000, 0.8750])
    """

    strided = "Conv2d_0"
    w: Tensor
    v: Tensor  # [1, 2, 1]: on repeated pixels it gives what `w` gives with zeros between

    def __init__(self) -> None:
        super().__init__()
        for name, row in (("w", [1.0, 3.0, 3.0, 1.0]), ("v", [1.0, 2.0, 1.0])):
            taps = torch.tensor(row) / 8
            self.register_buffer(name, torch.outer(taps, taps)[None, None], persistent=False)

    def up(self, h: Tensor) -> Tensor:
        """Double the resolution, with padding (2, 1) after the zeros are inserted."""
        height, width = h.shape[-2:]
        return double(h, Taps(4 * self.w, 4 * self.v), (2 * height, 2 * width))

    def down(self, h: Tensor) -> Tensor:
        """Halve the resolution, with padding (1, 1)."""
        return halve(h, Taps(self.w, self.v))

    def before_stride(self, h: Tensor) -> Tensor:
        """Return `w * h` with padding (2, 2), one more row and column than `h`."""
        return apply_filter(h, self.w, padding=2)


@final
class Plain(Resampler):
    """Repetition of pixels, and averages of 2x2 pixels.

    >>> Plain().down(torch.arange(4.0).view(1, 1, 2, 2))
    tensor([[[[1.5000]]]])
    """

    strided = "Conv_0"

    def up(self, h: Tensor) -> Tensor:
        """Double the resolution by repetition."""
        return interpolate(h, scale_factor=2.0, mode="nearest")

    def down(self, h: Tensor) -> Tensor:
        """Halve the resolution by averages."""
        return avg_pool2d(h, 2)

    def before_stride(self, h: Tensor) -> Tensor:
        """Append a row of zeros below and a column of zeros on the right."""
        return pad(h, (0, 1, 0, 1))


RESAMPLERS: dict[Resampling, type[Resampler]] = {"fir": FIR, "plain": Plain}
