"""TIFF of any depth with stacks and bands: with Pillow where tifffile lacks a decoder."""

from __future__ import annotations

import io
import lzma
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import UnidentifiedImageError

from rgmkit.errors import DataError, show_value
from rgmkit.images.axes import FRAMES, IMAGE
from rgmkit.images.codecs import Decoded, pillow
from rgmkit.images.limits import check_pixels
from rgmkit.images.value_range import Range
from rgmkit.runtime.extras import install_command

PLAIN = ("MINISBLACK", "MINISWHITE", "RGB")  # photometric interpretations that hold the values themselves
ASSOCIATED = 1  # value of the tag ExtraSamples: alpha by which the colours were multiplied
ALPHA = (ASSOCIATED, 2)  # the second is alpha beside colours as they are
SIGNED = 2  # value of the tag SampleFormat
SENSOR = ("CFA", "LINEAR_RAW")  # photometric interpretations of raw files of cameras
CANON = b"CR"  # after the header of a .cr2
DNG_VERSION, PROFILE, MAX, SMAX, PHOTOMETRIC = 50706, 34675, 281, 341, 262  # tags
DEFLATE, LZMA = (zlib.decompressobj, 1032), (lzma.LZMADecompressor, 10_000)  # and the most that they expand, about
DECOMPRESSORS: dict[int, tuple[Any, int]] = {8: DEFLATE, 32946: DEFLATE, 34925: LZMA}
ROOM, PIECE = 2**28, 2**20  # bytes that any tile may have, and bytes that are decompressed at a time
SENSOR_WHITES = tuple(2**bits - 1 for bits in range(9, 16))
RESOLUTION = (282, 283, 296)  # the tags XResolution, YResolution and ResolutionUnit
IMAGEJ_SCALE = ("unit", "spacing", "finterval", "fps")
IMAGEJ_AXES, IMAGEJ_TYPES = "TZCYX", ("uint8", "uint16", "float32")


def decode(data: bytes, limit: int) -> Decoded:
    """Decode the first series of a TIFF, all its frames and bands, upright."""
    from tifffile import TiffFile

    with TiffFile(io.BytesIO(data)) as file:
        series: Any = file.series[0]
        page = series.keyframe
        refuse_raw(data[:10], file.pages[0])
        bits, photometric = page.bitspersample, read_photometric(page)
        if bits is None or bits < 8 or (bits == 8 and photometric not in PLAIN):
            return _decode_with_pillow(data, page, limit)
        if photometric not in PLAIN:
            raise DataError(f"is {bits}-bit {photometric}: convert it to RGB or to 8 bit")
        samples = page.samplesperpixel
        check_pixels(limit, math.prod(series.shape) // samples, samples=samples)
        for each in filter(None, series.pages):
            for offset, count in zip(each.dataoffsets, each.databytecounts, strict=False):
                check_expansion(file, page, offset, count, page.nbytes)
        try:
            array = series.asarray()
        except (ValueError, NotImplementedError, ImportError) as error:
            if not any(word in str(error).lower() for word in ("imagecodecs", "compression")):
                raise
            return _decode_with_pillow(data, page, limit)  # libtiff may know the compression
        count = len(file.series)
        notes = (f"only the first of {count} image series is read",) if count > 1 else ()
        return describe(file, page, array, series.axes, notes)


def describe(file: Any, page: Any, array: np.ndarray, axes: str, notes: tuple[str, ...] = ()) -> Decoded:
    """Describe stored values, or a window of them: as they are meant, and upright."""
    range, more = _read_range(page, array)
    if read_photometric(page) == "MINISWHITE" and array.dtype.kind == "u":
        array = int(range[1] if range else np.iinfo(array.dtype).max) - array
    extra = page.extrasamples[-1] if "S" in axes and page.extrasamples else None
    if extra == ASSOCIATED and array.dtype.kind in "uf":
        array = _divide_by_alpha(array, axes.index("S"), range)
    profile = page.tags.get(PROFILE)
    orientation, unread = read_orientation(page)
    array = _turn_upright(array, axes, orientation)
    scale, unscaled = _read_scale(file, page)
    notes += more + unread + unscaled + pillow.note_profile(None if profile is None else bytes(profile.value))
    return Decoded(array, _name_axes(axes), extra in ALPHA, notes, scale, range)


def check_expansion(file: Any, page: Any, offset: int, count: int, size: int) -> None:
    """Raise a DataError if a tile or strip of `count` bytes holds far more than `size`, as only a bomb does."""
    most, found = max(ROOM, 2 * size), 0
    start, ratio = DECOMPRESSORS.get(page.compression, (None, 0))
    if start is None or count * ratio <= most:
        return
    file.filehandle.seek(offset)
    decompressor, data, piece = start(), file.filehandle.read(count), b"?"
    while (piece or data) and not decompressor.eof:
        piece = decompressor.decompress(data, PIECE)
        data = getattr(decompressor, "unconsumed_tail", b"")
        found += len(piece)
        if found > most:
            raise DataError(f"holds more than {most} bytes where its pixels have {size}: it is no picture")


def read_orientation(page: Any) -> tuple[int | None, tuple[str, ...]]:
    """Return the orientation of a page, None without one, and a note if it has no meaning."""
    tag = page.tags.get(pillow.ORIENTATION)
    return pillow.check_orientation(None if tag is None else tag.value)


def read_photometric(page: Any) -> str:
    """Return the photometric interpretation of a page; without one, that which libtiff assumes."""
    if PHOTOMETRIC not in page.tags:
        return {1: "MINISBLACK", 3: "RGB"}.get(page.samplesperpixel, "of unknown colours")
    return getattr(page.photometric, "name", str(page.photometric))


def refuse_raw(data: bytes, first: Any) -> None:
    """Raise a DataError for a raw file of a camera, whose first image is a thumbnail."""
    pages = [first, *(first.pages or ())]
    sensor = any(getattr(page.photometric, "name", "") in SENSOR for page in pages)
    if sensor or DNG_VERSION in first.tags or data[8:10] == CANON:
        raise DataError(
            "is a raw file of a camera: develop it, or save the values of its sensor as 16-bit TIFF (with rawpy) and "
            "restore them with the degradation bayer"
        )


def _decode_with_pillow(data: bytes, page: Any, limit: int) -> Decoded:
    """Decode what tifffile does not, unless Pillow would misread it or lose its depth."""
    bits, kind = page.bitspersample, getattr(page.photometric, "name", str(page.photometric))
    what = f"{bits}-bit {kind} with the compression {getattr(page.compression, 'name', page.compression)}"
    fix = f"{install_command('imagecodecs')}, or save it uncompressed in 8 or 16 bits"
    deep = bits is not None and bits > 8
    if (deep and page.samplesperpixel > 1) or (bits == 8 and page.sampleformat == SIGNED):
        raise DataError(f"is {what}: {fix}")
    try:
        decoded = pillow.decode_frames(data, limit)
    except (UnidentifiedImageError, ValueError, KeyError) as error:
        raise DataError(f"is {what}: {fix}") from error
    if not deep:
        return decoded
    range, notes = _read_range(page, decoded.array)
    array = decoded.array
    if kind == "MINISWHITE" and array.dtype == np.uint16:  # Pillow does not invert these
        array = int(range[1] if range else 65535) - array
    return decoded._replace(array=array, range=range, notes=decoded.notes + notes)


def _read_range(page: Any, array: np.ndarray) -> tuple[Range | None, tuple[str, ...]]:
    """Return the range of whole numbers with fewer bits than their type, None if they fill it, and a note."""
    if array.dtype != np.uint16:
        return None, ()
    white = read_white(page)
    if white is None or array.max(initial=0) > white:
        return None, ()
    return (0.0, float(white)), (f"white is {white}: the file says that its values have {white.bit_length()} bits",)


def read_white(page: Any) -> int | None:
    """Return the white of values that do not fill their 16 bits, by their depth or a tag, which may be wrong."""
    bits, declared = page.bitspersample, page.tags.get(SMAX) or page.tags.get(MAX)
    white = 2**bits - 1 if bits < 16 else getattr(declared, "value", None)
    white = white[0] if isinstance(white, tuple) and len(set(white)) == 1 else white
    return white if isinstance(white, int) and white in SENSOR_WHITES else None


def _divide_by_alpha(array: np.ndarray, axis: int, range: Range | None) -> np.ndarray:
    """Return the colours without the alpha by which they were multiplied; black where a pixel is transparent."""
    samples = np.moveaxis(array, axis, -1).astype(np.float64)
    colour, alpha = samples[..., :-1], samples[..., -1:]
    whole = array.dtype.kind == "u"
    white = (range[1] if range else np.iinfo(array.dtype).max) if whole else 1.0
    colour = np.divide(colour * white, alpha, out=np.zeros_like(colour), where=alpha > 0)
    samples[..., :-1] = colour.round().clip(0, white) if whole else colour
    return np.moveaxis(samples, -1, axis).astype(array.dtype)


def _read_scale(file: Any, page: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read the size of a pixel from the tags of a page, and what ImageJ adds to it; and note what cannot be read."""
    tags = {tag: page.tags[tag].value for tag in RESOLUTION if tag in page.tags}
    imagej = {key: value for key, value in (file.imagej_metadata or {}).items() if key in IMAGEJ_SCALE}
    if not {282, 283} <= set(tags):
        return {"metadata": imagej}, ()
    resolution, unit = (tags[282], tags[283]), tags.get(296, 1)
    if not all(map(_is_ratio, resolution)) or unit not in (1, 2, 3):
        return {"metadata": imagej}, (f"the resolution {show_value(resolution)} cannot be read, and is left out",)
    return {"resolution": resolution, "resolutionunit": unit, "metadata": imagej}, ()


def _is_ratio(value: Any) -> bool:
    """Whether a value is a positive ratio of two whole numbers."""
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and all(isinstance(part, int) and 0 < part < 2**32 for part in value)


def encode(array: np.ndarray, axes: str, alpha: bool, scale: Mapping[str, Any]) -> bytes:
    """Encode an array of uint8, uint16, int16 or floats; stacks as ImageJ does where it can, else as tifffile does."""
    from tifffile import imwrite

    samples = array.shape[-1] if axes.endswith("C") else 1
    photometric = "rgb" if samples - alpha == 3 else "minisblack"
    options: dict[str, Any] = {**scale, "metadata": None}
    if axes not in ("YX", "YXC") or (axes == "YX" and scale.get("metadata")):
        named = axes.replace("C", "S") if axes.endswith("C") else axes
        options["metadata"] = {**scale.get("metadata", {}), "axes": named}
        in_order = "".join(letter for letter in IMAGEJ_AXES if letter in axes) == axes
        options["imagej"] = in_order and array.dtype.name in IMAGEJ_TYPES
    if samples > 1:
        bands = samples - alpha - (3 if photometric == "rgb" else 1)
        options["extrasamples"] = ["unspecified"] * bands + ["unassalpha"] * alpha or None
        options["planarconfig"] = "contig"
    buffer = io.BytesIO()
    imwrite(buffer, array, photometric=photometric, **options)
    return buffer.getvalue()


def _name_axes(axes: str) -> str:
    """Translate the axes of tifffile: S, the samples of a pixel, are channels, and all others are frames.

    >>> _name_axes("ZYXS"), _name_axes("TCYXS"), _name_axes("QYX")
    ('ZYXC', 'TZYXC', 'ZYX')
    """
    named = axes.replace("C", "Q").replace("S", "C") if "S" in axes else axes
    for letter in named:
        free = [frame for frame in FRAMES if frame not in named]
        if letter not in IMAGE + FRAMES and not free:
            raise DataError(f"has the axes {axes}, more than {len(FRAMES)} beside C, Y and X: save it with fewer")
        named = named if letter in IMAGE + FRAMES else named.replace(letter, free[0], 1)
    return named


def _turn_upright(array: np.ndarray, axes: str, orientation: int | None) -> np.ndarray:
    """Turn the rows and columns of an array upright."""
    places = axes.index("Y"), axes.index("X")
    return np.moveaxis(pillow.turn_upright(np.moveaxis(array, places, (0, 1)), orientation), (0, 1), places)
