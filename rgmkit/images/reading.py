"""Read pictures from files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import UnidentifiedImageError

from rgmkit.errors import DataError
from rgmkit.images.array_layout import unpack
from rgmkit.images.formats import FORMAT_NAMES, check_source, choose_codec
from rgmkit.images.picture import Picture


def read(path: str | Path) -> Picture:
    """Read the picture in a file, upright, with its alpha channel aside.

    Grey and colour, 8 and 16 bit keep what they are; palettes, 1-bit, CMYK and other colour spaces
    become grey or RGB. A .npy array has a layout of NumPy images, `(H, W)` or `(H, W, C)`. Floats (.npy
    and TIFF) are read as they are, also outside [0, 1].

    Raises:
        DataError: if the file is missing, not a picture, cut off, or holds NaN or infinite values.
    """
    path = Path(path)
    return decode(_read_bytes(path), name=str(path))


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


def _read_bytes(path: Path) -> bytes:
    check_source(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what decoders log and warn about odd tags: whatever matters is raised."""
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
