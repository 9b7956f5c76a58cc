"""Read and write measurements: as a picture, or as an array (1, …) in an .npy file if it has another shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rgmkit.errors import DataError
from rgmkit.images.array_layout import check_finite
from rgmkit.images.codecs import npy
from rgmkit.images.picture import Picture, Written, read, write
from rgmkit.runtime.files import check_writable, write_file


def read_measurement(path: Path) -> Picture:
    """Read a picture, or a measurement of another shape from an .npy file.

    Raises:
        DataError: as for `read`, or if the file holds several measurements.
    """
    if path.suffix.lower() != ".npy" or not path.is_file():
        return read(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        return read(path)  # raises an error with the cause
    if not isinstance(array, np.ndarray) or (array.ndim <= 3 and array.dtype.kind != "c"):
        return read(path)
    if len(array) != 1:
        raise DataError(f"{path} holds {len(array)} measurements {array.shape}: save one, (1, ...)")
    y = torch.from_numpy(array)
    check_finite(y, str(path))
    return Picture(y, bits=32)


def write_measurement(path: Path, y: Tensor, like: Picture) -> Written:
    """Write a measurement as a picture with the alpha and depth of `like`, or else as an array in an .npy file.

    Raises:
        DataError: as for `write`, or if `y` is not a picture and `path` is not an .npy file.
    """
    if is_picture(y):
        return write(path, replace(like, x=y))
    check_storable(path, tuple(y.shape))
    check_writable(path)
    write_file(path, npy.encode(y.numpy()))
    return Written(path, bits=32, values=y.numel())


def is_picture(y: Tensor) -> bool:
    """Whether a measurement can be stored as a grey or colour picture."""
    return y.ndim == 4 and y.shape[1] in (1, 3) and not y.is_complex()


def check_storable(path: Path, shape: tuple[int, ...], *, what: str = "measurement") -> None:
    """Raise a DataError if an array of `shape` (1, …) is not a picture and `path` is not an .npy file."""
    if path.suffix.lower() != ".npy" and not (len(shape) == 4 and shape[1] in (1, 3)):
        raise DataError(f"the {what} has shape {shape} and is not a picture: write it as .npy")
