"""Read and write measurements: as pictures, or as an array (1, …) in an .npy file if they have another shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from rgmkit.errors import DataError
from rgmkit.images.array_layout import Layout, check_finite, find_range, normalise_values, to_tensor
from rgmkit.images.codecs import npy
from rgmkit.images.picture import Picture, Written, check_stack, read, write
from rgmkit.images.value_range import Range, note_depth
from rgmkit.runtime.files import check_writable, write_file


def read_measurement(
    path: Path, *, axes: str | None = None, range: Range | None = None, max_pixels: int | None = None
) -> Picture:
    """Read a picture or a stack, see `read`, or a measurement of another shape (1, …) from an .npy file.

    Raises:
        DataError: as for `read`, or if the file holds several measurements.
    """
    if path.suffix.lower() != ".npy" or not path.is_file() or axes is not None:
        return read(path, axes=axes, range=range, max_pixels=max_pixels)
    try:
        array = np.array(np.load(path, allow_pickle=False, mmap_mode="r"))  # mapped, a truncated file is not allocated
    except (ValueError, EOFError, OSError):
        return read(path, range=range, max_pixels=max_pixels)  # raises an error with the cause
    if array.ndim == 0 or (array.ndim <= 3 and array.dtype.kind != "c"):
        return read(path, range=range, max_pixels=max_pixels)
    if len(array) != 1:
        raise DataError(
            f"{path} holds {len(array)} measurements {array.shape}: save one, (1, ...), or name the axes of images, "
            f"such as BCYX"
        )
    y = to_tensor(array, str(path))
    if not y.numel():
        raise DataError(f"{path} has shape {array.shape}: it holds no values")
    check_finite(y, str(path))
    values, notes = find_range(y.dtype, range, str(path)), () if range else note_depth(y, str(path))
    bits = 32 if y.is_floating_point() or y.is_complex() else min(8 * y.dtype.itemsize, 32)
    layout = None if range is None else Layout(True, "YX", (), y.dtype, y.device, values, range_given=True)
    return Picture(normalise_values(y, values), None, bits, notes, layout)


def write_measurement(path: Path, y: Tensor, like: Picture) -> Written:
    """Write a measurement as a picture with the alpha, depth, axes and range of `like`, or as an array in an .npy file.

    Raises:
        DataError: as for `write`, or if the format of `path` does not store its shape.
    """
    check_storable(path, tuple(y.shape))
    has_bands = like.layout is not None and "C" in (like.layout.axes or "")
    if y.ndim == 4 and not y.is_complex() and (is_picture(y) or has_bands or path.suffix.lower() != ".npy"):
        scale = like.scale if y.shape[-2:] == like.x.shape[-2:] else {}
        return write(path, replace(like, x=y, scale=scale))
    check_writable(path)
    low, high = like.range or (0.0, 1.0)
    write_file(path, npy.encode((low + (high - low) * y if like.range else y).numpy()))
    return Written(path, bits=32, values=y.numel())


def is_picture(y: Tensor) -> bool:
    """Whether a measurement can be stored as a grey or colour picture."""
    return y.ndim == 4 and y.shape[1] in (1, 3) and not y.is_complex()


def check_storable(path: Path, shape: tuple[int, ...], *, what: str = "measurement") -> None:
    """Raise a DataError if the format of `path` does not store an array of `shape`; .npy stores any."""
    if path.suffix.lower() != ".npy":
        check_stack(path, shape, what=what)
