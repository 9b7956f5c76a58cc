"""Files in: PNG, JPEG, TIFF, whatever else Pillow knows, and .npy arrays.

Pillow reads nearly all of it. It has no pictures of several 16-bit or float channels: such a PNG is
read as two pictures of 8 bits, such a TIFF by tifffile.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from rgmkit.errors import DataError
from rgmkit.images.array_layout import unpack
from rgmkit.images.picture import Picture

Decoded = tuple[np.ndarray, tuple[str, ...]]

PNG, TIFF, NPY = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), b"\x93NUMPY"
ORIENTATION = 0x0112  # the EXIF and TIFF tag
FRAMES_NOTE = "only the first of {} frames is read"


def read(path: str | Path) -> Picture:
    """The picture in a file, upright, with its alpha channel aside.

    Grey and colour, 8 and 16 bit keep what they are; palettes, 1-bit, CMYK and other colour spaces
    become grey or RGB. A .npy array has a layout of NumPy images, `(H, W)` or `(H, W, C)`. Floats (.npy
    and TIFF) are read as they are, also outside [0, 1].

    Raises:
        DataError: if the file is missing, not a picture, cut off, or holds NaN or infinite values.
    """
    path = Path(path)
    return decode(_bytes(path), name=str(path))


def decode(data: bytes, *, name: str) -> Picture:
    """The picture in the bytes of a file; see `read`. Errors call it `name`."""
    if not data:
        raise DataError(f"{name} is empty: give PNG, JPEG, TIFF or .npy")
    try:
        with _quiet():
            array, notes = _decoder(data)(data)
    except DataError as error:
        raise DataError(f"{name} {error}") from error
    except Image.UnidentifiedImageError as error:
        raise DataError(f"{name} is not a picture that can be read: give PNG, JPEG, TIFF or .npy") from error
    except Exception as error:  # a decoder that meets cut or hostile bytes may raise anything
        raise DataError(f"{name} cannot be decoded, it may be cut off or damaged: {_one_line(error)}") from error
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 2, 3, 4)):
        raise DataError(
            f"{name} holds an array of shape {array.shape}: save one image, (H, W) or (H, W, C); channels "
            f"come last, 1 to 4 of them (of 2 and 4 the last is alpha)"
        )
    bits = {"uint8": 8, "uint16": 16}.get(array.dtype.name, 32)
    x, layout = unpack(array, name=name)
    alpha = None if layout.alpha is None else layout.alpha.float()
    return Picture(x.float(), alpha, bits, notes)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: check the name of the picture") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder: give the path of one picture") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _decoder(data: bytes) -> Callable[[bytes], Decoded]:
    if data.startswith(NPY):
        return _npy
    if data.startswith(PNG) and data[24:25] == b"\x10":  # the depth in its header
        return _png16
    if data.startswith(TIFF):
        return _tiff
    return _pillow


def _npy(data: bytes) -> Decoded:
    try:
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError("holds Python objects, which are not read: save uint8, uint16 or floats in [0, 1]") from error
    if array.dtype.kind not in "uf":
        raise DataError(f"holds {array.dtype}: save uint8, uint16 or floats in [0, 1]")
    return array, ()


def _png16(data: bytes) -> Decoded:
    """A 16-bit PNG: its values are big-endian, so that Pillow's readers of 16-bit colours in big-endian
    and in little-endian order, which keep the high byte, give the two bytes of each value."""
    with Image.open(io.BytesIO(data)) as image:
        stored, orientation = image.tile[0][-1], image.getexif().get(ORIENTATION)

    def as_bytes(raw_mode: str) -> np.ndarray:
        with Image.open(io.BytesIO(data)) as image:
            image.tile = [(*image.tile[0][:-1], raw_mode)]
            return np.asarray(image).astype(np.uint16)

    if stored == "I;16B":
        array = as_bytes(stored)
    elif stored == "LA;16B":  # four bytes a pixel, whatever they mean
        pairs = as_bytes("RGBA")
        array = 256 * pairs[..., ::2] + pairs[..., 1::2]
    else:
        array = 256 * as_bytes(stored) + as_bytes(stored.replace(";16B", ";16L"))
    return _upright(array, orientation), ()


def _tiff(data: bytes) -> Decoded:
    from tifffile import TiffFile

    with TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        if page.bitspersample <= 8 or page.bitspersample is None:
            return _pillow(data)
        if page.photometric.name not in ("MINISBLACK", "MINISWHITE", "RGB"):
            raise DataError(f"is {page.bitspersample}-bit {page.photometric.name}: convert it to RGB or to 8 bit")
        try:
            array = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            if page.samplesperpixel == 1:
                return _pillow(data)  # libtiff knows the compression
            raise DataError("has a compression that needs imagecodecs: install it, or save without") from error
        if page.axes.startswith("S"):
            array = np.moveaxis(array, 0, -1)
        if page.photometric.name == "MINISWHITE" and array.dtype.kind == "u":
            array = np.iinfo(array.dtype).max - array
        if array.dtype.kind not in "uf" or array.dtype in (np.uint32, np.uint64):
            raise DataError(f"holds {array.dtype}, of unknown scale: save uint8, uint16 or floats in [0, 1]")
        tag = page.tags.get(ORIENTATION)
        notes = (FRAMES_NOTE.format(len(file.pages)),) if len(file.pages) > 1 else ()
        return _upright(array, None if tag is None else int(tag.value)), notes


def _pillow(data: bytes) -> Decoded:
    with Image.open(io.BytesIO(data)) as opened:
        frames = getattr(opened, "n_frames", 1)
        opened.load()
        image = ImageOps.exif_transpose(opened)
    array = _pixels(image)
    # a palette of greys is a grey picture
    if image.mode in ("P", "PA") and (array[..., :1] == array[..., 1:3]).all():
        array = np.delete(array, (1, 2), axis=-1)
    return array, (FRAMES_NOTE.format(frames),) if frames > 1 else ()


def _pixels(image: Image.Image) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if mode == "I":
        array = np.asarray(image)
        if array.min() < 0 or array.max() > 65535:
            raise DataError("holds 32-bit whole numbers, of unknown scale: save 8 bit, 16 bit or floats in [0, 1]")
        return array.astype(np.uint16)
    if mode == "F":
        return np.asarray(image)
    grey = mode in ("1", "L", "LA", "La")
    return np.asarray(image.convert(("L" if grey else "RGB") + ("A" if image.has_transparency_data else "")))


def _upright(array: np.ndarray, orientation: int | None) -> np.ndarray:
    """`array` (H, W, ...) turned as its EXIF orientation, 1 … 8, says."""
    if orientation is None or not 2 <= orientation <= 8:
        return array
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


@contextmanager
def _quiet() -> Iterator[None]:
    """No lines on stderr about tags that a decoder stumbles over: what matters is raised."""
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
