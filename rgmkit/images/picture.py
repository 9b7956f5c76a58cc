"""A picture, and how it is read from a file and written to one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import UnidentifiedImageError
from torch import Tensor

from rgmkit.errors import DataError, describe_error
from rgmkit.images.array_layout import STEPS, Layout, check_finite, unpack
from rgmkit.images.axes import insert_channels
from rgmkit.images.codecs import Decoded
from rgmkit.images.foreign import describe_foreign
from rgmkit.images.formats import (
    FORMAT_NAMES,
    STACK_ENDINGS,
    Format,
    check_source,
    check_target,
    choose_codec,
    find_format,
    load_codec,
)
from rgmkit.images.limits import BYTES, RAISE, TooLargeError, choose_limit
from rgmkit.images.value_range import Range, describe
from rgmkit.runtime.files import write_file

HEADERS = 2**24  # bytes of all that a file may hold beside its values
ROUNDING = 0.02  # tolerance, in steps, for the float32 rounding of 16-bit values


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """One picture, or a stack of pictures, ready to be degraded or restored.

    Attributes:
        x: channels or bands, float32 (B, C, H, W), in [0, 1] unless the file held other values; B is 1 without frames.
        alpha: transparency (B, 1, H, W) in [0, 1], set aside and written back; None without.
        bits: depth of a stored value: 8, 16, or 32 for floats.
        notes: for the user, on what was not read.
        layout: the axes and the range of the file; None: those of one picture in [0, 1].
        scale: the size of a pixel, see `Decoded`.
    """

    x: Tensor
    alpha: Tensor | None = None
    bits: int = 8
    notes: tuple[str, ...] = ()
    layout: Layout | None = None
    scale: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        frames = f"{len(self.x)} of " if self.x.ndim == 4 and len(self.x) > 1 else ""
        alpha = "" if self.alpha is None else ", with alpha"
        return f"Picture({frames}{'x'.join(map(str, self.x.shape[-3:]))}, {self.bits} bits{alpha})"

    @property
    def range(self) -> Range | None:
        """The values that 0 and 1 stand for, if they were given."""
        return self.layout.range if self.layout is not None and self.layout.range_given else None

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
        clipped: how many of them lay outside `ends` and were clipped.
        quantised: whether any was rounded to a step of the depth.
        notes: for the user, on what was not written.
        ends: the least and the largest value that can be stored.
    """

    path: Path
    bits: int
    values: int
    clipped: int = 0
    quantised: bool = False
    notes: tuple[str, ...] = ()
    ends: Range = (0, 1)

    @property
    def loss(self) -> str:
        """Describe clipping and rounding to 8 bits; empty if there was neither.

        >>> Written(Path("y.png"), bits=8, values=4, clipped=2, quantised=True).loss
        '2 of 4 values are clipped to [0, 1], all are rounded to 8 bits'
        """
        low, high = self.ends
        clipped = [f"{self.clipped} of {self.values} values are clipped to [{low:g}, {high:g}]"] if self.clipped else []
        rounded = ["all are rounded to 8 bits"] if self.quantised and self.bits == 8 else []
        return ", ".join(clipped + rounded)


def read(
    path: str | Path, *, axes: str | None = None, range: Range | None = None, max_pixels: int | None = None
) -> Picture:
    """Read the picture in a file, or its stack of pictures, upright, with its alpha channel set aside.

    Pictures of 8 and 16 bits keep their channels and depth; palettes, 1-bit, CMYK and other colour spaces become grey
    or RGB. All frames and bands of a TIFF are read, of other pictures the first frame. A .npy array has the shape
    `(H, W)` or `(H, W, C)`, or that of `axes`. Only PNG and TIFF say that a channel is alpha. Floats (.npy and TIFF)
    are read as they are, also outside [0, 1].

    Args:
        path: the file.
        axes: a letter for each axis of its array, see `rgmkit.images.axes`. Default: as the file says.
        range: the values that 0 and 1 stand for, see `unpack`.
        max_pixels: refuse a picture or stack of more pixels before it is decoded. Default: `RGMKIT_MAX_PIXELS` in the
            environment, or 100 million.

    Raises:
        DataError: if the file is missing, not a picture, truncated, too large, or holds NaN or infinite values.
    """
    path = Path(path)
    check_source(path)
    limit = choose_limit(max_pixels)
    if path.stat().st_size > BYTES * limit + HEADERS:
        raise TooLargeError(
            f"{path} has {path.stat().st_size} bytes, too many for a picture of {limit} pixels: {RAISE}"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return decode(data, name=str(path), axes=axes, range=range, max_pixels=limit)


def decode(
    data: bytes, *, name: str, axes: str | None = None, range: Range | None = None, max_pixels: int | None = None
) -> Picture:
    """Decode the bytes of a picture file, see `read`. Error messages call it `name`."""
    if not data:
        raise DataError(f"{name} is empty: give {FORMAT_NAMES}")
    foreign = describe_foreign(data)
    if foreign:
        raise DataError(f"{name} is {foreign}")
    limit = choose_limit(max_pixels)
    with explain_failure(name):
        decoded = choose_codec(data).decode(data, limit)
    return arrange(decoded, name=name, axes=axes, range=range)


@contextmanager
def explain_failure(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a DataError that names the picture."""
    try:
        with _quiet():
            yield
    except DataError as error:
        raise type(error)(f"{name} {error}") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{name} is not a picture that can be read: give {FORMAT_NAMES}") from error
    except Exception as error:  # a decoder may raise anything on truncated or malicious bytes
        raise DataError(f"{name} cannot be decoded, it may be cut off or damaged: {describe_error(error)}") from error


def arrange(decoded: Decoded, *, name: str, axes: str | None = None, range: Range | None = None) -> Picture:
    """Make a picture of what a codec has decoded."""
    array = decoded.array
    if axes is None and decoded.axes is None:
        raise DataError(
            f"{name} holds an array of shape {array.shape}: save one image, (H, W) or (H, W, C); channels come last, "
            f"1 to 4 of them; or name its axes by axes= or --axes, such as ZYX for frames and CYX for bands"
        )
    usual = decoded.range if range is None else range
    letters, in_file = (axes or str(decoded.axes)).upper(), str(decoded.axes)
    has_alpha = decoded.alpha and letters.find("C") == in_file.find("C")  # not if the user calls that axis another
    x, layout = unpack(array, name=name, axes=axes or decoded.axes, range=usual, alpha=has_alpha)
    if range is None and decoded.range is not None:  # what is written fills its type
        layout = replace(layout, range=(0.0, float(STEPS[layout.dtype])), range_given=False)
    if x.is_complex():
        raise DataError(f"{name} holds {array.dtype}: a picture is real")
    alpha = None if layout.alpha is None else layout.alpha.float()
    bits = 32 if layout.dtype.is_floating_point else min(8 * layout.dtype.itemsize, 32)
    return Picture(x.float(), alpha, bits, decoded.notes + layout.notes, replace(layout, alpha=None), decoded.scale)


def write(path: str | Path, picture: Picture | Tensor | np.ndarray) -> Written:
    """Write a picture, or an array in the layout of a measurement, in the format that the ending names.

    The axes are those of the file from which the picture was read. PNG and TIFF are written in the depth of the picture
    (floats: 8 bits in PNG, float32 in TIFF), JPEG in 8 bits without alpha, .npy as float32. Values are in the range of
    the picture, unless whole numbers cannot hold it: these then cover it as 0 … 255 or 65535, which a note says.
    Missing folders are made. The file appears under its name only when it is complete.

    Raises:
        DataError: for another ending, an array that is no picture or holds complex, NaN or infinite values, frames or
            bands that the format does not store, or a place where no file can be written.
    """
    path = Path(path)
    check_target(path)
    fmt = find_format(path)
    if not isinstance(picture, Picture):
        plain = isinstance(picture, Tensor) and picture.is_floating_point()
        picture = Picture(picture) if plain else to_picture(picture)  # type: ignore[arg-type]  # a tensor
    _check_picture(path, picture.x)
    x = picture.x if picture.x.ndim == 4 else picture.x[None]
    check_stack(path, tuple(x.shape))
    x = x.detach().float().cpu()
    layout, notes = _choose_storage(picture, fmt)
    if picture.alpha is not None and fmt.has_alpha:
        layout = replace(layout, alpha=picture.alpha.float().cpu())
    elif picture.alpha is not None:
        notes += (f"{fmt.name} has no alpha channel: it is left out",)
    if not fmt.has_stacks:  # one picture, its channels last
        layout = replace(layout, axes="YX", frames=())
    layout = replace(layout, axes=_file_axes(layout, x))
    array = layout.pack(x)
    write_file(path, load_codec(fmt.codec).encode(array, str(layout.axes), layout.alpha is not None, picture.scale))
    return _compare(path, x, layout, notes)


def _check_picture(path: Path, x: Tensor) -> None:
    """Raise a DataError unless `x` is a picture or a stack, of finite real values."""
    if x.ndim not in (3, 4) or 0 in x.shape:
        raise DataError(
            f"{path}: an array of shape {tuple(x.shape)} is not a picture: give a tensor (C, H, W) or (B, C, H, W), or "
            f"a NumPy array (H, W), (H, W, C) or (B, H, W, C)"
        )
    if x.is_complex():
        raise DataError(f"{path}: the picture is complex: write its magnitude, or its parts one by one")
    check_finite(x, f"{path}: the picture")


def to_picture(array: Any, *, axes: str | None = None, range: Range | None = None) -> Picture:
    """Convert an array in the layout of a measurement, see `unpack`, to a picture.

    It may have a channel axis more than `axes`, as the estimate from a measurement without colours has.

    >>> import numpy as np
    >>> to_picture(np.full((5, 7, 3), 255, np.uint8))
    Picture(3x5x7, 8 bits)
    """
    numpy = isinstance(array, np.ndarray)
    if axes is not None and array.ndim == len(axes) + 1:
        axes = insert_channels(axes, last=numpy)
    alpha = axes is None and numpy and array.ndim > 2 and array.shape[-1] in (2, 4)
    x, layout = unpack(array.detach() if isinstance(array, Tensor) else array, axes=axes, range=range, alpha=alpha)
    if x.ndim == 4 and layout.axes is None:
        layout = replace(layout, axes="BCYX", frames=(len(x),))
    bits = 32 if layout.dtype.is_floating_point else min(8 * layout.dtype.itemsize, 32)
    set_aside = None if layout.alpha is None else layout.alpha.float()
    return Picture(x.cpu() if x.is_complex() else x.cpu().float(), set_aside, bits, layout=replace(layout, alpha=None))


def check_stack(path: Path, shape: tuple[int, ...], *, what: str = "picture") -> None:
    """Raise a DataError if the format of `path` does not store a picture, or stack of pictures, of `shape`."""
    fmt = find_format(path)
    if len(shape) != 4:
        raise DataError(f"{path}: the {what} has shape {shape} and is not a picture: write it as .npy")
    if not fmt.has_stacks and (shape[0] != 1 or shape[1] not in (1, 3)):
        raise DataError(
            f"{path}: the {what} has shape {shape}, and {fmt.name} stores one image with 1 or 3 channels: write it as "
            f"{STACK_ENDINGS}"
        )


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


def _choose_storage(picture: Picture, fmt: Format) -> tuple[Layout, tuple[str, ...]]:
    """Choose the type and the range in which a picture is stored; return them with notes for the user."""
    frames = () if picture.x.ndim == 3 or len(picture.x) == 1 else (len(picture.x),)
    one = Layout(True, "BYX" if frames else "YX", frames, torch.float32, torch.device("cpu"))
    layout = replace(picture.layout or one, numpy=True, device=one.device, alpha=None)
    bits, given = fmt.depths[picture.bits], picture.range
    if bits == 32:
        return replace(layout, dtype=torch.float32, range=given or (0.0, 1.0)), ()
    dtype = torch.uint8 if bits == 8 else torch.uint16
    if given is None or (bits == picture.bits and (given[0] >= 0 or fmt.has_stacks)):
        dtype = torch.int16 if given and given[0] < 0 else dtype
        return replace(layout, dtype=dtype, range=given or (0.0, float(STEPS[dtype]))), ()
    note = f"{fmt.name} stores whole numbers: 0 … {STEPS[dtype]} stand for {describe(given)}"
    return replace(layout, dtype=dtype, range=(0.0, float(STEPS[dtype]))), (note,)


def _file_axes(layout: Layout, x: Tensor) -> str:
    """Return the axes of a file: without C for one channel, and with C last where there was none before."""
    axes = str(layout.axes)
    if layout.alpha is not None:
        return axes.replace("C", "") + "C"  # as the samples of a pixel
    return axes.replace("C", "") if x.shape[1] == 1 else insert_channels(axes, last=True)


def _compare(path: Path, x: Tensor, layout: Layout, notes: tuple[str, ...]) -> Written:
    """Count the values that were clipped, and check whether any was rounded."""
    if layout.dtype.is_floating_point:
        return Written(path, 32, x.numel(), notes=notes)
    low, high = layout.range
    ends = torch.iinfo(layout.dtype)
    values = low + (high - low) * x
    inside = values.clamp(ends.min, ends.max)
    quantised = bool(((inside - inside.round()).abs() > ROUNDING).any())
    shown = (ends.min, ends.max) if layout.range_given else (0, 1)
    clipped = int((inside != values).sum())
    return Written(path, 8 * layout.dtype.itemsize, x.numel(), clipped, quantised, notes, shown)
