"""The formats that Pillow reads and writes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from rgmkit.errors import DataError
from rgmkit.images.codecs import Decoded

ORIENTATION = 0x0112  # the EXIF and TIFF tag
FRAMES_NOTE = "only the first of {} frames is read"


def decode(data: bytes) -> Decoded:
    """Decode the first frame of a picture, upright, as grey or RGB, each with or without alpha."""
    with Image.open(io.BytesIO(data)) as opened:
        frames = getattr(opened, "n_frames", 1)
        opened.load()
        array = _to_array(ImageOps.exif_transpose(opened))
    return describe(array, (FRAMES_NOTE.format(frames),) if frames > 1 else ())


def decode_frames(data: bytes) -> Decoded:
    """Decode all frames of a picture if they are alike, else the first, see `decode`."""
    with Image.open(io.BytesIO(data)) as opened:
        frames = [_to_array(ImageOps.exif_transpose(frame)) for frame in ImageSequence.Iterator(opened)]
    if len(frames) == 1 or any(frame.shape != frames[0].shape for frame in frames):
        return decode(data)
    first = describe(frames[0])
    return first._replace(array=np.stack(frames), axes=f"Z{first.axes}")


def describe(array: np.ndarray, notes: tuple[str, ...] = ()) -> Decoded:
    """Describe an array (H, W) or (H, W, C) of a format in which the last of 2 or 4 channels is alpha."""
    return Decoded(array, "YXC"[: array.ndim], array.ndim == 3 and array.shape[-1] in (2, 4), notes)


def encode(array: np.ndarray, *, kind: str = "png", **options: int) -> bytes:
    """Encode an array of 8 bits as a `kind` that Pillow knows, with the options of its writer."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def turn_upright(array: np.ndarray, orientation: int | None) -> np.ndarray:
    """Turn an array (H, W, ...) upright, given its EXIF orientation, 1 … 8."""
    if orientation is None or not 2 <= orientation <= 8:
        return array
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _to_array(image: Image.Image) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if mode == "I":
        array = np.asarray(image)
        if array.min() < 0 or array.max() > 65535:
            raise DataError("holds 32-bit integers of unknown scale: save 8 bit, 16 bit or floats in [0, 1]")
        return array.astype(np.uint16)
    if mode == "F":
        return np.asarray(image)
    grey = mode in ("1", "L", "LA", "La")
    array = np.asarray(image.convert(("L" if grey else "RGB") + ("A" if image.has_transparency_data else "")))
    # a palette that has only greys makes a grey picture
    only_greys = mode in ("P", "PA") and (array[..., :1] == array[..., 1:3]).all()
    return np.delete(array, (1, 2), axis=-1) if only_greys else array
