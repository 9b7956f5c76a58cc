"""NumPy's .npy files; nothing in them is executed."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rgmkit.errors import DataError
from rgmkit.images.codecs import Decoded

BANDS_NOTE = "all {} channels are restored: .npy does not say that one is alpha"


def decode(data: bytes, limit: int) -> Decoded:
    """Decode an array of numbers; up to three axes are those of one image, (H, W) or (H, W, C) with C <= 4.

    Its values are not compressed: the size of the file is limited, see `rgmkit.images.read`.
    """
    try:
        _check_length(data)
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError("holds Python objects, which are not read: save numbers") from error
    if array.ndim == 3 and array.shape[-1] in (2, 4):
        return Decoded(array, "YXC", notes=(BANDS_NOTE.format(array.shape[-1]),))
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3))
    return Decoded(array, "YXC"[: array.ndim] if is_image else None)


def _check_length(data: bytes) -> None:
    """Raise a ValueError if the values of an array are not all there, before any is allocated."""
    file = io.BytesIO(data)
    read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    version, _ = np.lib.format.read_magic(file)
    if version in read_header:
        shape, _, dtype = read_header[version](file)
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize > len(data) - file.tell():
            raise ValueError(f"an array of shape {shape} is longer than the file")


def encode(array: np.ndarray, axes: str = "", alpha: bool = False, scale: Mapping[str, Any] | None = None) -> bytes:
    """Encode an array of any shape and number type."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
