"""NumPy's .npy files; nothing in them is executed."""

from __future__ import annotations

import io

import numpy as np

from rgmkit.errors import DataError
from rgmkit.images.codecs import Decoded


def decode(data: bytes) -> Decoded:
    """Decode an array of whole numbers or floats."""
    try:
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError("holds Python objects, which are not read: save uint8, uint16 or floats in [0, 1]") from error
    if array.dtype.kind not in "uf":
        raise DataError(f"holds {array.dtype}: save uint8, uint16 or floats in [0, 1]")
    return array, ()


def encode(array: np.ndarray) -> bytes:
    """Encode an array of any shape and number type."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
