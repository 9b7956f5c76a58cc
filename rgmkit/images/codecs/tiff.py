"""TIFF of any depth with stacks and bands: with Pillow where tifffile lacks a decoder."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from rgmkit.errors import DataError
from rgmkit.images.axes import FRAMES, IMAGE
from rgmkit.images.codecs import Decoded, pillow

PLAIN = ("MINISBLACK", "MINISWHITE", "RGB")  # photometric interpretations that hold the values themselves
ALPHA = (1, 2)  # values of the tag ExtraSamples: associated and unassociated alpha
RESOLUTION = (282, 283, 296)  # the tags XResolution, YResolution and ResolutionUnit
IMAGEJ_SCALE = ("unit", "spacing", "finterval", "fps")
IMAGEJ_AXES, IMAGEJ_TYPES = "TZCYX", ("uint8", "uint16", "float32")


def decode(data: bytes) -> Decoded:
    """Decode the first series of a TIFF, all its frames and bands, upright."""
    from tifffile import TiffFile

    with TiffFile(io.BytesIO(data)) as file:
        series: Any = file.series[0]
        page = series.keyframe
        bits = page.bitspersample
        if bits is None or bits < 8 or (bits == 8 and page.photometric.name not in PLAIN):
            return pillow.decode_frames(data)
        if page.photometric.name not in PLAIN:
            raise DataError(f"is {bits}-bit {page.photometric.name}: convert it to RGB or to 8 bit")
        try:
            array = series.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            if page.samplesperpixel == 1 or bits == 8:
                return pillow.decode_frames(data)  # libtiff knows the compression
            raise DataError("has a compression that needs imagecodecs: install it, or save without") from error
        tag = page.tags.get(pillow.ORIENTATION)
        count = len(file.series)
        notes = (f"only the first of {count} image series is read",) if count > 1 else ()
        if page.photometric.name == "MINISWHITE" and array.dtype.kind == "u":
            array = np.iinfo(array.dtype).max - array
        array = _turn_upright(array, series.axes, None if tag is None else int(tag.value))
        alpha = "S" in series.axes and bool(page.extrasamples) and page.extrasamples[-1] in ALPHA
        return Decoded(array, _name_axes(series.axes), alpha, notes, _read_scale(file, page))


def _read_scale(file: Any, page: Any) -> dict[str, Any]:
    """Read the size of a pixel from the tags of a page, and what ImageJ adds to it."""
    tags = {tag: page.tags[tag].value for tag in RESOLUTION if tag in page.tags}
    scale = (
        {"resolution": (tags[282], tags[283]), "resolutionunit": tags.get(296, 1)} if {282, 283} <= set(tags) else {}
    )
    imagej = {key: value for key, value in (file.imagej_metadata or {}).items() if key in IMAGEJ_SCALE}
    return scale | {"metadata": imagej}


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
