"""Filtering with stride 2 and its adjoint, each with the other as its derivative.

PyTorch's own derivative, a transposed depthwise convolution, takes a hundred times longer than the
convolution in half precision on CPUs.
"""

from __future__ import annotations

from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, pad

HALF = (torch.bfloat16, torch.float16)


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
