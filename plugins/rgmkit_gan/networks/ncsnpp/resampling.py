"""Resampling by two: with the filter [1, 3, 3, 1], or by repetition and averages.

An odd last row or column is dropped on halving. The filter with stride 2 and its adjoint have each other as their
derivative: PyTorch's own, a transposed depthwise convolution, takes a hundred times longer than the convolution in
half precision on CPUs.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, pad

Resampling = Literal["fir", "plain"]
HALF = (torch.bfloat16, torch.float16)


@final
class FIR(nn.Module):
    """The outer product `w` of [1, 3, 3, 1] with itself, normalised to sum 1; zeros outside the image.

    `up(h) = 4 w * (h with zeros between)`, `down(h)` every second value of `w * h`. Inside the image both are
    linear interpolation, the latter with antialiasing.

    >>> FIR().down(torch.ones(1, 1, 6, 6))[0, 0, 1]
    tensor([0.8750, 1.0000, 0.8750])
    """

    strided = "Conv2d_0"  # name of the 3x3 convolution of stride 2, where a network has one
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
class Plain(nn.Module):
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


RESAMPLERS: dict[Resampling, type[FIR | Plain]] = {"fir": FIR, "plain": Plain}


class Taps(NamedTuple):
    """A filter `w`, (1, 1, 4, 4), and `v`, (1, 1, 3, 3), with `w * (zeros between) = v * (repetition)`."""

    w: Tensor
    v: Tensor


def halve(h: Tensor, taps: Taps) -> Tensor:
    """Return every second value of `w * h`, with padding (1, 1)."""
    out: Tensor = _Halve.apply(h, *taps)
    return out


def double(h: Tensor, taps: Taps, size: tuple[int, int]) -> Tensor:
    """Return `w * (h with zeros between)`, the adjoint of `halve` for images of `size`."""
    out: Tensor = _Double.apply(h, *taps, size)
    return out


def apply_filter(h: Tensor, taps: Tensor, *, padding: int, stride: int = 1) -> Tensor:
    """Filter each channel of `h` with the same `taps`."""
    return conv2d(h, _expand(taps, h), stride=stride, padding=padding, groups=h.shape[1])


@final
class _Halve(Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, w: Tensor, v: Tensor) -> Tensor:
        ctx.taps, ctx.size = Taps(w, v), tuple(h.shape[-2:])
        return apply_filter(h, w, padding=1, stride=2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        return double(g, ctx.taps, ctx.size), None, None


@final
class _Double(Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, w: Tensor, v: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.taps = Taps(w, v)
        below, right = (length % 2 for length in size)
        h = pad(h, (0, right, 0, below)) if below or right else h
        if h.dtype in HALF:
            out = apply_filter(interpolate(h, scale_factor=2.0, mode="nearest"), v, padding=1)
        else:
            out = conv_transpose2d(h, _expand(w, h), stride=2, padding=1, groups=h.shape[1])
        return out[..., : size[0], : size[1]]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        return halve(g, ctx.taps), None, None, None


def _expand(taps: Tensor, h: Tensor) -> Tensor:
    return taps.to(h.dtype).expand(h.shape[1], -1, -1, -1)
