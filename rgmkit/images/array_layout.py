"""Convert arrays of the usual layouts to a batch `(B, C, H, W)` of floats, and results back.

Tensors have channels first: `(C, H, W)` or `(B, C, H, W)`. NumPy arrays have them last: `(H, W)`,
`(H, W, C)` or `(B, H, W, C)`, with C = 1 (grey), 2 (grey and alpha), 3 (colour) or 4 (colour and
alpha). The integers uint8 and uint16 cover [0, 1] in 255 and 65535 steps; floats are used as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rgmkit.errors import DataError

STEPS = {torch.uint8: 255, torch.uint16: 65535}
"""Steps from 0 to 1 of the integer types."""

LAYOUTS = "give a tensor (C, H, W) or (B, C, H, W), or a NumPy array (H, W), (H, W, C) or (B, H, W, C)"


@dataclass(frozen=True, eq=False)
class Layout:
    """The layout of an array: what `unpack` removes and `pack` restores.

    Attributes:
        numpy: whether it was a NumPy array, channels last.
        batched: whether it had a batch axis.
        channels: whether it had a channel axis.
        dtype, device: of its values.
        alpha: its alpha channel (B, 1, H, W), set aside.
    """

    numpy: bool
    batched: bool
    channels: bool
    dtype: torch.dtype
    device: torch.device
    alpha: Tensor | None = None

    def pack(self, x: Tensor) -> Any:
        """Convert a batch `x` (B, C, H, W) to this layout and type; integers are clipped and rounded.

        The alpha channel is put back, resized by nearest neighbour if the size of the image has changed.
        """
        x = x.detach().to(self.device)
        if self.alpha is not None:
            x = torch.cat([x, resize_alpha(self.alpha, x).to(x)], dim=1)
        x = quantise(x, self.dtype) if self.dtype in STEPS else x.to(self.dtype)
        if self.numpy:
            x = x.movedim(1, -1)
            if not self.channels and x.shape[-1] == 1:
                x = x.squeeze(-1)
        x = x if self.batched else x.squeeze(0)
        return np.ascontiguousarray(x.numpy()) if self.numpy else x


def unpack(array: Any, *, name: str = "the image") -> tuple[Tensor, Layout]:
    """Convert an array to a batch of floats; return it, and the layout whose `pack` converts results back.

    uint8 and uint16 become float32 in [0, 1], half precision becomes float32; float32, float64 and
    complex values stay. A tensor of two axes is a batch of vectors (B, d).

    Raises:
        DataError: for another type or number of axes, an empty array, NaN or infinite values.

    >>> x, layout = unpack(np.full((5, 7, 3), 255, np.uint8))
    >>> x.shape, float(x.max())
    (torch.Size([1, 3, 5, 7]), 1.0)
    >>> layout.pack(x / 2)[0, 0]
    array([128, 128, 128], dtype=uint8)
    """
    x, layout = _unpack_tensor(array, name) if isinstance(array, Tensor) else _unpack_numpy(array, name)
    if 0 in x.shape:
        raise DataError(f"{name} has shape {tuple(array.shape)}: it holds no values")
    if layout.dtype in STEPS:
        x = x.float() / STEPS[layout.dtype]
    elif layout.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    elif not (x.is_floating_point() or x.is_complex()):
        kind = str(layout.dtype).removeprefix("torch.")
        raise DataError(f"{name} holds {kind}: convert it to uint8, uint16 or floats in [0, 1]")
    check_finite(x, name)
    if layout.numpy and x.shape[1] in (2, 4):
        x, alpha = x[:, :-1], x[:, -1:]
        layout = replace(layout, alpha=alpha)
    return x, layout


def check_finite(x: Tensor, name: str) -> None:
    """Raise a DataError if `x` holds NaN or infinite values."""
    bad = int((~torch.isfinite(x)).sum())
    if bad:
        raise DataError(f"{name} holds {bad} of {x.numel()} values that are NaN or infinite: replace them first")


def resize_alpha(alpha: Tensor, like: Tensor) -> Tensor:
    """Resize an alpha channel (B, 1, H, W) to the size of `like`, by nearest neighbour."""
    if alpha.shape[-2:] == like.shape[-2:]:
        return alpha
    return torch.nn.functional.interpolate(alpha, size=like.shape[-2:], mode="nearest-exact")


def quantise(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Clip `x` to [0, 1] and round it to the steps of an integer type."""
    return (x.clamp(0, 1) * STEPS[dtype]).round().to(torch.int32).to(dtype)


def _unpack_tensor(x: Tensor, name: str) -> tuple[Tensor, Layout]:
    if x.ndim < 2:
        raise DataError(f"{name} is a tensor of shape {tuple(x.shape)}: {LAYOUTS}")
    batched = x.ndim != 3
    layout = Layout(False, batched, True, x.dtype, x.device)
    return (x.detach() if batched else x.detach()[None]), layout


def _unpack_numpy(array: Any, name: str) -> tuple[Tensor, Layout]:
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name} is a {type(array).__name__}: {LAYOUTS}")
    if not 2 <= array.ndim <= 4 or (array.ndim > 2 and array.shape[-1] not in (1, 2, 3, 4)):
        raise DataError(
            f"{name} is a NumPy array of shape {array.shape}: {LAYOUTS}; channels come last, 1 to 4 of them "
            f"(of 2 and 4 the last is alpha); torch.from_numpy keeps channels first"
        )
    if array.dtype.kind not in "uifc" or array.dtype == np.longdouble:
        raise DataError(f"{name} holds {array.dtype}: convert it to uint8, uint16 or floats in [0, 1]")
    native = array.astype(array.dtype.newbyteorder("="))  # a copy, which torch may own
    x = torch.from_numpy(native)
    layout = Layout(True, array.ndim == 4, array.ndim > 2, x.dtype, x.device)
    if array.ndim == 2:
        x = x[..., None]
    if array.ndim < 4:
        x = x[None]
    return x.movedim(-1, 1).contiguous(), layout
