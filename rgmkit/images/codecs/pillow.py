"""The formats that Pillow reads and writes."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageSequence

from rgmkit.errors import show_value
from rgmkit.images.codecs import Decoded
from rgmkit.images.limits import check_pixels, without_pillows_limit

ORIENTATION = 0x0112  # the EXIF and TIFF tag
FRAMES_NOTE = "only the first of {} frames is read"
EIGHT_BITS, SIXTEEN_BITS = 2**8 - 1, 2**16 - 1
COMMENT = re.compile(rb"#[^\r\n]*")
STORED = "the picture is read as it is stored"


def decode(data: bytes, limit: int) -> Decoded:
    """Decode the first frame of a picture, upright, as grey or RGB, each with or without alpha."""
    with open_picture(data, limit) as opened:
        frames = getattr(opened, "n_frames", 1)
        colours = _read_deep_colours(opened, data)
        opened.load()
        array, notes = read_frame(opened)
        array = array if colours is None else colours
    return describe(array, ((FRAMES_NOTE.format(frames),) if frames > 1 else ()) + notes)


def _read_deep_colours(image: ImageFile.ImageFile, data: bytes) -> np.ndarray | None:
    """Read a colour PPM of 16 bits, of which Pillow keeps 8; return None for any other picture."""
    if image.format != "PPM" or image.mode != "RGB":
        return None
    decoder, _, start, options = image.tile[0]
    white = options[1] if isinstance(options, tuple) else EIGHT_BITS
    if white <= EIGHT_BITS:
        return None
    shape = (image.height, image.width, 3)
    if decoder == "ppm_plain":
        values = np.array(COMMENT.sub(b"", data[start:]).split()[: math.prod(shape)], np.float64)
    else:
        values = np.frombuffer(data, ">u2", math.prod(shape), start).astype(np.float64)
    return np.rint(values.clip(0, white) * (SIXTEEN_BITS / white)).astype(np.uint16).reshape(shape)


def decode_frames(data: bytes, limit: int) -> Decoded:
    """Decode all frames of a picture if they are alike, else the first, see `decode`."""
    with open_picture(data, limit) as opened:
        check_pixels(limit, getattr(opened, "n_frames", 1), *opened.size)
        frames, notes = zip(*(read_frame(frame) for frame in ImageSequence.Iterator(opened)), strict=True)
    if len(frames) == 1 or any(frame.shape != frames[0].shape for frame in frames):
        return decode(data, limit)
    first = describe(frames[0], notes[0])
    return first._replace(array=np.stack(frames), axes=f"Z{first.axes}")


def open_picture(data: bytes, limit: int) -> ImageFile.ImageFile:
    """Open a picture, whose size is known then and limited; its values are decoded when they are needed."""
    with without_pillows_limit():
        opened = Image.open(io.BytesIO(data))
    check_pixels(limit, *opened.size)
    return opened


def describe(array: np.ndarray, notes: tuple[str, ...] = ()) -> Decoded:
    """Describe an array (H, W) or (H, W, C) of a format in which the last of 2 or 4 channels is alpha."""
    return Decoded(array, "YXC"[: array.ndim], array.ndim == 3 and array.shape[-1] in (2, 4), notes)


def encode(array: np.ndarray, *, kind: str = "png", **options: int) -> bytes:
    """Encode an array of 8 bits as a `kind` that Pillow knows, with the options of its writer."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def read_frame(image: Image.Image) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a frame as an upright array, and notes on its metadata."""
    array = _to_array(image)
    orientation, notes = read_orientation(image)
    return turn_upright(array, orientation), notes + note_profile(image.info.get("icc_profile"))


def read_orientation(image: Image.Image) -> tuple[int | None, tuple[str, ...]]:
    """Return the EXIF orientation, None without one, and a note if it cannot be read."""
    try:
        value = image.getexif().get(ORIENTATION)
    except Exception:  # damaged metadata may raise anything, and the picture is intact
        return None, (f"the EXIF metadata cannot be read: {STORED}",)
    return check_orientation(value)


def check_orientation(value: Any) -> tuple[int | None, tuple[str, ...]]:
    """Return the value of an orientation tag, the first of several, if it has a meaning, else None and a note."""
    value = value[0] if isinstance(value, tuple) and value else value
    if value is None or (isinstance(value, int) and 0 <= value <= 8):
        return value, ()
    return None, (f"the orientation {show_value(value)} has no meaning: {STORED}",)


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


def note_profile(profile: bytes | None) -> tuple[str, ...]:
    """Return a note if a picture has a colour profile (ICC) other than sRGB."""
    if not profile:
        return ()
    from PIL import ImageCms

    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except Exception:  # of a damaged profile
        name = "that cannot be read"
    if "srgb" in name.lower():
        return ()
    return (f"the colour profile {name} is neither used nor kept: convert to sRGB first if exact colours matter",)


def _to_array(image: Image.Image) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):  # PPM is scaled to 16 bits
        return np.asarray(image).astype(np.uint16)
    if mode in ("I", "F"):
        return np.asarray(image)
    grey = mode in ("1", "L", "LA", "La")
    array = np.asarray(image.convert(("L" if grey else "RGB") + ("A" if image.has_transparency_data else "")))
    # a palette that has only greys makes a grey picture
    only_greys = mode in ("P", "PA") and (array[..., :1] == array[..., 1:3]).all()
    return np.delete(array, (1, 2), axis=-1) if only_greys else array
