"""TIFF in 8 bits, 16 bits and floats: with tifffile where Pillow does not support them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from rgmkit.errors import DataError
from rgmkit.images.codecs import Decoded, pillow


def decode(data: bytes) -> Decoded:
    """Decode the first page of a TIFF, upright, channels last."""
    from tifffile import TiffFile

    with TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        if page.bitspersample <= 8 or page.bitspersample is None:
            return pillow.decode(data)
        if page.photometric.name not in ("MINISBLACK", "MINISWHITE", "RGB"):
            raise DataError(f"is {page.bitspersample}-bit {page.photometric.name}: convert it to RGB or to 8 bit")
        try:
            array = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            if page.samplesperpixel == 1:
                return pillow.decode(data)  # libtiff knows the compression
            raise DataError("has a compression that needs imagecodecs: install it, or save without") from error
        tag = page.tags.get(pillow.ORIENTATION)
        notes = (pillow.FRAMES_NOTE.format(len(file.pages)),) if len(file.pages) > 1 else ()
        return pillow.turn_upright(_normalize(array, page), None if tag is None else int(tag.value)), notes


def encode(array: np.ndarray) -> bytes:
    """Encode an array of uint8, uint16 or floats."""
    from tifffile import imwrite

    channels = array[0, 0].size
    buffer = io.BytesIO()
    imwrite(
        buffer,
        array,
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=("unassalpha",) if channels in (2, 4) else None,
        metadata=None,
    )
    return buffer.getvalue()


def _normalize(array: np.ndarray, page: Any) -> np.ndarray:
    """Move the channels of a page last, and invert values whose 0 is white."""
    if page.axes.startswith("S"):
        array = np.moveaxis(array, 0, -1)
    if page.photometric.name == "MINISWHITE" and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    if array.dtype.kind not in "uf" or array.dtype in (np.uint32, np.uint64):
        raise DataError(f"holds {array.dtype} of unknown scale: save uint8, uint16 or floats in [0, 1]")
    return array
