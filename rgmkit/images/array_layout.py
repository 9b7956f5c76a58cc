"""Convert arrays of any layout and value range to a batch `(B, C, H, W)` of floats in [0, 1], and results back.

Without `axes`, tensors have channels first: `(C, H, W)` or `(B, C, H, W)`. NumPy arrays have them last: `(H, W)`,
`(H, W, C)` or `(B, H, W, C)`, with C = 1 (grey), 2 (grey and alpha), 3 (colour) or 4 (colour and alpha).
Without `range`, uint8 and uint16 cover [0, 1] in 255 and 65535 steps, and floats are used as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from rgmkit.deprecation import warn_alpha_by_count
from rgmkit.errors import DataError
from rgmkit.images.axes import check_axes, insert_channels, split_axes
from rgmkit.images.value_range import Range, check_range, note_depth

STEPS = {torch.uint8: 255, torch.uint16: 65535}
"""Steps from 0 to 1 of the integer types."""

FLOAT32 = torch.finfo(torch.float32).max
LARGEST = 2**53  # whole numbers up to here are exact in float64
LAYOUTS = "give a tensor (C, H, W) or (B, C, H, W), a NumPy array (H, W), (H, W, C) or (B, H, W, C), or axes="

Arranged: TypeAlias = "tuple[Tensor, Layout]"


@dataclass(frozen=True, eq=False)
class Layout:
    """The layout of an array: what `unpack` removes and `pack` restores.

    Attributes:
        numpy: whether it was a NumPy array.
        axes: the letters of its axes, see `rgmkit.images.axes`; None for a batch of any other shape.
        frames: lengths of its axes other than C, Y and X.
        dtype, device: of its values.
        range: the values that 0 and 1 stand for.
        range_given: whether the user gave the range.
        alpha: its alpha channel (B, 1, H, W), set aside.
        pairs: whether the two channels of an image are the real and imaginary parts of one.
        notes: for the user, on what was assumed.
    """

    numpy: bool
    axes: str | None
    frames: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    range: Range = (0.0, 1.0)
    range_given: bool = False
    alpha: Tensor | None = None
    pairs: bool = False
    notes: tuple[str, ...] = ()

    def pack(self, x: Tensor) -> Any:
        """Convert a batch `x` (B, C, H, W) to this layout, range and type; whole numbers are rounded.

        Whole numbers are clipped to those of the type. The alpha channel is put back, resized by nearest neighbour if
        the size of the image has changed.
        """
        x = (x.detach() if self.numpy else x).to(self.device)
        if self.alpha is not None:
            x = torch.cat([x, resize_alpha(self.alpha, x).to(x)], dim=1)
        if self.pairs:
            x = torch.view_as_complex(x.movedim(1, -1).contiguous())[:, None]
        x = self._arrange(scale_values(x, self.range, self.dtype))
        return np.ascontiguousarray(x.numpy()) if self.numpy else x

    def for_image(self, *, complex: bool) -> Layout:
        """Return the layout of the image of a complex measurement: real, or with a complex value for two channels."""
        if complex or not self.dtype.is_complex:
            return replace(self, pairs=complex)
        return replace(self, dtype=torch.empty(0, dtype=self.dtype).real.dtype)

    def for_std(self, dtype: torch.dtype) -> Layout:
        """Return the layout of a standard deviation: floats, without alpha, in units of the range if it was given."""
        span = self.range[1] - self.range[0] if self.range_given else 1.0
        return replace(self, dtype=self.dtype if self.pairs else dtype, alpha=None, range=(0.0, span))

    def _arrange(self, x: Tensor) -> Tensor:
        if self.axes is None:
            return x
        if x.ndim != 4:
            return x.reshape(*self.frames, *x.shape[1:])
        frames, _ = split_axes(self.axes)
        x = x.reshape(*self.frames, *x.shape[1:])
        axes = self.axes
        if "C" not in axes and x.shape[-3] == 1:
            x, now = x.squeeze(-3), frames + "YX"
        else:
            axes, now = insert_channels(axes, last=self.numpy), frames + "CYX"
        return x.permute([now.index(letter) for letter in axes])


def unpack(
    array: Any,
    *,
    name: str = "the image",
    axes: str | None = None,
    range: Range | None = None,
    alpha: bool | None = None,
) -> Arranged:
    """Convert an array to a batch of floats; return it, and the layout whose `pack` converts results back.

    Half precision and whole numbers become float32; float32, float64 and complex values keep their type. A tensor of
    two axes is a batch of vectors (B, d), unless `axes` says otherwise.

    Args:
        array: a tensor or a NumPy array.
        name: what error messages call it.
        axes: the letters of its axes, see `rgmkit.images.axes`.
        range: the values that 0 and 1 stand for. Default: those of the type for uint8 and uint16, else 0 and 1.
        alpha: whether the last channel is alpha. Default: in a NumPy array without `axes` the last of 2 or 4 is.

    Raises:
        ConfigError: for a range or axes that are none.
        DataError: for another type or number of axes, an empty array, NaN or infinite values.

    >>> x, layout = unpack(np.full((5, 7, 3), 255, np.uint8))
    >>> x.shape, float(x.max())
    (torch.Size([1, 3, 5, 7]), 1.0)
    >>> layout.pack(x / 2)[0, 0]
    array([128, 128, 128], dtype=uint8)
    >>> x, layout = unpack(np.full((5, 4, 6, 7), 4095, np.uint16), axes="ZCYX", range=(0, 4095))
    >>> x.shape, float(x.max()), layout.pack(x).shape
    (torch.Size([5, 4, 6, 7]), 1.0, (5, 4, 6, 7))
    """
    x = to_tensor(array, name)
    notes: tuple[str, ...] = ()
    if axes is not None:
        axes = check_axes(axes, tuple(x.shape), name)
    elif alpha is None and isinstance(array, np.ndarray) and x.ndim > 2 and x.shape[-1] in (2, 4):
        alpha, notes = True, (warn_alpha_by_count(),)
    used = axes or _usual_axes(x, name, numpy=isinstance(array, np.ndarray))
    if 0 in x.shape:
        raise DataError(f"{name} has shape {tuple(array.shape)}: it holds no values")
    check_finite(x, name)
    values = find_range(x.dtype, range, name)
    notes = notes if range is not None else notes + note_depth(x, name)
    layout = Layout(
        isinstance(array, np.ndarray), used, (), x.dtype, x.device, values, range_given=range is not None, notes=notes
    )
    x = normalise_values(x, values)
    if used is None:
        return x, layout
    frames, order = split_axes(used)
    layout = replace(layout, frames=tuple(x.shape[used.index(letter)] for letter in frames))
    x = x.permute([used.index(letter) for letter in order])
    x = x if "C" in used else x.unsqueeze(-3)
    x = x.reshape(math.prod(layout.frames), *x.shape[-3:]).contiguous()
    if alpha:
        x, layout = x[:, :-1], replace(layout, alpha=x[:, -1:])
    return x, layout


def check_finite(x: Tensor, name: str) -> None:
    """Raise a DataError if `x` holds NaN, or values that are infinite in float32."""
    if not (x.is_floating_point() or x.is_complex()):
        return
    bad = int((~(x.abs() <= FLOAT32)).sum())
    if bad:
        raise DataError(f"{name} holds {bad} of {x.numel()} values that are NaN or infinite: replace them first")


def resize_alpha(alpha: Tensor, like: Tensor) -> Tensor:
    """Resize an alpha channel (B, 1, H, W) to the size of `like`, by nearest neighbour."""
    if alpha.shape[-2:] == like.shape[-2:]:
        return alpha
    return torch.nn.functional.interpolate(alpha, size=like.shape[-2:], mode="nearest-exact")


def quantise(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Clip `x` to [0, 1] and round it to the steps of an integer type."""
    return scale_values(x, (0.0, STEPS[dtype]), dtype)


def normalise_values(x: Tensor, range: Range) -> Tensor:
    """Map values to floats, `range` to [0, 1]."""
    low, high = range
    dtype = x.dtype
    if not (dtype.is_floating_point or dtype.is_complex):
        x = x.float() if dtype.itemsize <= 2 else x.double()
    elif dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    x = x - low if low else x
    x = x if high - low == 1 else x / (high - low)
    return x if dtype.is_floating_point or dtype.is_complex else x.float()


def scale_values(x: Tensor, range: Range, dtype: torch.dtype) -> Tensor:
    """Map [0, 1] to `range` and convert to a type; whole numbers are rounded, and clipped to those of the type."""
    low, high = range
    whole = not (dtype.is_floating_point or dtype.is_complex)
    x = x.double() if whole and dtype.itemsize > 2 else x
    x = x if high - low == 1 else x * (high - low)
    x = x + low if low else x
    if not whole:
        return x.to(dtype)
    ends, carrier = torch.iinfo(dtype), torch.int64 if dtype.itemsize > 2 else torch.int32
    return x.round().clamp(max(ends.min, -LARGEST), min(ends.max, LARGEST)).to(carrier).to(dtype)


def to_tensor(array: Any, name: str) -> Tensor:
    """Return an array of numbers as a tensor; raise a DataError for any other."""
    if isinstance(array, Tensor):
        if array.layout is not torch.strided or array.is_quantized:
            raise DataError(f"{name} is a sparse or quantised tensor: give an ordinary one, with to_dense() or float()")
        if array.dtype == torch.bool:
            raise DataError(f"{name} holds bool: convert it to whole numbers or floats")
        return array
    if np.ma.is_masked(array):
        raise DataError(
            f"{name} is a masked array: restore its filled(0) with the degradation inpaint, and give the known pixels, "
            f"~mask, as the mask"
        )
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name} is a {type(array).__name__}: {LAYOUTS}")
    if array.dtype.kind not in "uifc" or array.dtype == np.longdouble:
        raise DataError(f"{name} holds {array.dtype}: convert it to whole numbers or floats")
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))  # a copy, which torch may own


def _usual_axes(x: Tensor, name: str, *, numpy: bool) -> str | None:
    """Return the axes of an array whose user gave none; None for a batch of any shape."""
    if not numpy:
        if x.ndim < 2:
            raise DataError(f"{name} is a tensor of shape {tuple(x.shape)}: {LAYOUTS}")
        return "CYX" if x.ndim == 3 else None
    if not 2 <= x.ndim <= 4 or (x.ndim > 2 and x.shape[-1] not in (1, 2, 3, 4)):
        raise DataError(
            f"{name} is a NumPy array of shape {tuple(x.shape)}: {LAYOUTS}; channels come last, 1 to 4 of them; for "
            f"any other layout give axes=, such as ZYX for frames or CYX for bands"
        )
    return {2: "YX", 3: "YXC", 4: "BYXC"}[x.ndim]


def find_range(dtype: torch.dtype, given: Range | None, name: str) -> Range:
    """Return the range that is given, or that of the type."""
    if given is not None:
        return check_range(given)
    if dtype in STEPS:
        return 0.0, float(STEPS[dtype])
    if not (dtype.is_floating_point or dtype.is_complex):
        kind = str(dtype).removeprefix("torch.")
        raise DataError(
            f"{name} holds {kind}, which says nothing of its range: give the values of black and white, range=(low, "
            f"high) or --range, or convert it to uint8, uint16 or floats in [0, 1]"
        )
    return 0.0, 1.0
