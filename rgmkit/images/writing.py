"""Write pictures to files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rgmkit.errors import DataError
from rgmkit.images.array_layout import quantise, resize_alpha
from rgmkit.images.formats import check_target, find_format, load_codec
from rgmkit.images.picture import Picture
from rgmkit.runtime.files import write_aside

ROUNDING = 0.02  # of one step: float32 rounding of 16-bit values


@dataclass(frozen=True)
class Written:
    """What became of the values in a file.

    Attributes:
        path: of the file.
        bits: depth of a stored value; 32 are floats.
        values: number of values of the image.
        clipped: how many of them lay outside [0, 1] and were clipped.
        quantised: whether any was rounded to a step of the depth.
        notes: for the user, what was left out.
    """

    path: Path
    bits: int
    values: int
    clipped: int = 0
    quantised: bool = False
    notes: tuple[str, ...] = ()

    @property
    def loss(self) -> str:
        """Describe what the values lost; empty if that is no more than the rounding of 16 bits.

        >>> Written(Path("y.png"), bits=8, values=4, clipped=2, quantised=True).loss
        '2 of 4 values are clipped to [0, 1], all are rounded to 8 bits'
        """
        clipped = [f"{self.clipped} of {self.values} values are clipped to [0, 1]"] if self.clipped else []
        rounded = ["all are rounded to 8 bits"] if self.quantised and self.bits == 8 else []
        return ", ".join(clipped + rounded)


def write(path: str | Path, picture: Picture | Tensor) -> Written:
    """Write a picture, or a tensor (C, H, W) or (1, C, H, W), in the format that the ending names.

    PNG and TIFF are written in the depth of the picture (floats: 8 bits in PNG, float32 in TIFF),
    JPEG in 8 bits without alpha, .npy as float32 `(H, W)` or `(H, W, C)`. Missing folders are made. The
    file appears under its name only when it is complete.

    Raises:
        DataError: for another ending, an image that is neither grey nor colour, or a place where
            no file can be written.
    """
    path = Path(path)
    check_target(path)
    fmt = find_format(path)
    picture = picture if isinstance(picture, Picture) else Picture(picture)
    x = picture.x if picture.x.ndim == 4 else picture.x[None]
    if x.ndim != 4 or len(x) != 1 or x.shape[1] not in (1, 3):
        raise DataError(f"{path}: a picture is (1, C, H, W) with 1 or 3 channels, not {tuple(picture.x.shape)}")
    x = x.detach().float().cpu()
    bits, full = fmt.depths[picture.bits], x
    notes: tuple[str, ...] = ()
    if picture.alpha is not None and fmt.has_alpha:
        full = torch.cat([x, resize_alpha(picture.alpha.float().cpu(), x)], dim=1)
    elif picture.alpha is not None:
        notes = (f"{fmt.name} has no alpha channel: it is left out",)
    replace_file(path, load_codec(fmt.codec).encode(_to_array(full, bits)))
    return _compare(path, x, bits, notes)


def _to_array(x: Tensor, bits: int) -> np.ndarray:
    x = x[0].movedim(0, -1)
    if bits < 32:
        x = quantise(x, torch.uint8 if bits == 8 else torch.uint16)
    return np.ascontiguousarray(x.squeeze(-1).numpy() if x.shape[-1] == 1 else x.numpy())


def replace_file(path: Path, data: bytes) -> None:
    """Write the file `path`, which appears under its name only when it is complete."""
    with write_aside(path) as part:
        part.write_bytes(data)


def _compare(path: Path, x: Tensor, bits: int, notes: tuple[str, ...]) -> Written:
    """Count what a depth takes away from the values."""
    if bits == 32:
        return Written(path, bits, x.numel(), notes=notes)
    inside = x.clamp(0, 1)
    steps = inside * (2**bits - 1)
    quantised = bool(((steps - steps.round()).abs() > ROUNDING).any())
    return Written(path, bits, x.numel(), int((x != inside).sum()), quantised, notes)
