"""A picture, and how it is read from a file and written to one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import UnidentifiedImageError
from torch import Tensor

from rgmkit.errors import DataError
from rgmkit.images.array_layout import quantise, resize_alpha, unpack
from rgmkit.images.formats import FORMAT_NAMES, check_source, check_target, choose_codec, find_format, load_codec
from rgmkit.runtime.files import write_file

ROUNDING = 0.02  # tolerance, in steps, for the float32 rounding of 16-bit values


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, ready to be degraded or restored.

    Attributes:
        x: colours, float32 (1, C, H, W), in [0, 1] unless the file held other floats.
        alpha: transparency (1, 1, H, W) in [0, 1], set aside and written back; None without.
        bits: depth of a stored value: 8, 16, or 32 for floats.
        notes: for the user, on what was not read.
    """

    x: Tensor
    alpha: Tensor | None = None
    bits: int = 8
    notes: tuple[str, ...] = ()

    def crop(self, height: int, width: int) -> Picture:
        """Return the top left part of at most `height` by `width` pixels.

        >>> import torch
        >>> Picture(torch.zeros(1, 3, 9, 7)).crop(8, 6).x.shape
        torch.Size([1, 3, 8, 6])
        """
        alpha = None if self.alpha is None else self.alpha[..., :height, :width]
        return replace(self, x=self.x[..., :height, :width], alpha=alpha)


@dataclass(frozen=True)
class Written:
    """How the values of an image were stored in a file.

    Attributes:
        path: of the file.
        bits: depth of a stored value: 8, 16, or 32 for floats.
        values: number of values of the image.
        clipped: how many of them lay outside [0, 1] and were clipped.
        quantised: whether any was rounded to a step of the depth.
        notes: for the user, on what was not written.
    """

    path: Path
    bits: int
    values: int
    clipped: int = 0
    quantised: bool = False
    notes: tuple[str, ...] = ()

    @property
    def loss(self) -> str:
        """Describe clipping and rounding to 8 bits; empty if there was neither.

        >>> Written(Path("y.png"), bits=8, values=4, clipped=2, quantised=True).loss
        '2 of 4 values are clipped to [0, 1], all are rounded to 8 bits'
        """
        clipped = [f"{self.clipped} of {self.values} values are clipped to [0, 1]"] if self.clipped else []
        rounded = ["all are rounded to 8 bits"] if self.quantised and self.bits == 8 else []
        return ", ".join(clipped + rounded)


def read(path: str | Path) -> Picture:
    """Read the picture in a file, upright, with its alpha channel set aside.

    Grey and colour pictures of 8 and 16 bits keep their channels and depth; palettes, 1-bit, CMYK and other colour
    spaces become grey or RGB. A .npy array has the shape `(H, W)` or `(H, W, C)`. Floats (.npy and TIFF) are read as
    they are, also outside [0, 1].

    Raises:
        DataError: if the file is missing, not a picture, truncated, or holds NaN or infinite values.
    """
    path = Path(path)
    check_source(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return decode(data, name=str(path))


def decode(data: bytes, *, name: str) -> Picture:
    """Decode the bytes of a picture file, see `read`. Error messages call it `name`."""
    if not data:
        raise DataError(f"{name} is empty: give {FORMAT_NAMES}")
    try:
        with _quiet():
            array, notes = choose_codec(data).decode(data)
    except DataError as error:
        raise DataError(f"{name} {error}") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{name} is not a picture that can be read: give {FORMAT_NAMES}") from error
    except Exception as error:  # a decoder may raise anything on truncated or malicious bytes
        raise DataError(f"{name} cannot be decoded, it may be cut off or damaged: {_one_line(error)}") from error
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 2, 3, 4)):
        raise DataError(
            f"{name} holds an array of shape {array.shape}: save one image, (H, W) or (H, W, C); channels "
            f"come last, 1 to 4 of them (of 2 and 4 the last is alpha)"
        )
    bits = {"uint8": 8, "uint16": 16}.get(array.dtype.name, 32)
    x, layout = unpack(array, name=name, alpha=array.ndim == 3 and array.shape[-1] in (2, 4))
    alpha = None if layout.alpha is None else layout.alpha.float()
    return Picture(x.float(), alpha, bits, notes)


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
    write_file(path, load_codec(fmt.codec).encode(_to_array(full, bits)))
    return _compare(path, x, bits, notes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress log messages and warnings of decoders about odd tags: real problems are raised."""
    log = logging.getLogger("tifffile")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _to_array(x: Tensor, bits: int) -> np.ndarray:
    x = x[0].movedim(0, -1)
    if bits < 32:
        x = quantise(x, torch.uint8 if bits == 8 else torch.uint16)
    return np.ascontiguousarray(x.squeeze(-1).numpy() if x.shape[-1] == 1 else x.numpy())


def _compare(path: Path, x: Tensor, bits: int, notes: tuple[str, ...]) -> Written:
    """Count the values that were clipped, and check whether any was rounded."""
    if bits == 32:
        return Written(path, bits, x.numel(), notes=notes)
    inside = x.clamp(0, 1)
    steps = inside * (2**bits - 1)
    quantised = bool(((steps - steps.round()).abs() > ROUNDING).any())
    return Written(path, bits, x.numel(), int((x != inside).sum()), quantised, notes)
