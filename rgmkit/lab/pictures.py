"""Pictures that the page sends, and pictures for the page."""

from __future__ import annotations

import base64
import io
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate

from rgmkit.errors import DataError
from rgmkit.images import Picture, read_measurement
from rgmkit.images.picture import to_picture
from rgmkit.images.value_range import Range
from rgmkit.images.view import make_view

LONGEST = 16_384  # pixels of a side, which browsers still show
NPY = b"\x93NUMPY"
EIGHT_BITS = 255
CLIPPED = 0.05  # largest mean change by clipping that leaves a picture what it is
PREVIEW = 512  # longest side of the picture that is shown of an upload

warnings_lock = threading.Lock()
"""Held while a thread sets or resets warning filters, which all threads share."""


@dataclass(frozen=True)
class Upload:
    """A file as the page sent it; its name is only ever shown."""

    name: str
    data: bytes

    @staticmethod
    def of(given: Any) -> Upload:
        """Read `{"name": …, "data": base64}`.

        Raises:
            DataError: if it is something else.
        """
        parts = given if isinstance(given, Mapping) else {}
        if not isinstance(parts.get("name"), str) or not isinstance(parts.get("data"), str):
            raise DataError("there is no picture: drop one on the page, or pick a sample")
        try:
            data = base64.b64decode(parts["data"], validate=True)
        except ValueError as error:
            raise DataError(f"the picture did not arrive whole: {error}") from error
        name = "".join(c if c.isalnum() or c in "._- " else "_" for c in Path(parts["name"]).name).lstrip(".- ")
        return Upload(name[-80:] or "picture", data)

    def store(self, folder: Path) -> Path:
        """Write it into a folder."""
        path = folder / self.name
        path.write_bytes(self.data)
        return path


def read_upload(upload: Upload, *, most: int, axes: str | None = None, range: Range | None = None) -> Picture:
    """Read an uploaded picture or measurement of at most `most` pixels, see `read_measurement`.

    Raises:
        DataError: if it is too large, or cannot be read.
    """
    check_size(upload, most)
    with TemporaryDirectory(prefix="rgmkit-lab-") as folder, warnings_lock:
        try:
            return read_measurement(upload.store(Path(folder)), axes=axes, range=range, max_pixels=most)
        except DataError as error:
            raise DataError(str(error).replace(f"{folder}/", "").replace(folder, "")) from error


def check_size(upload: Upload, most: int) -> None:
    """Raise a DataError if the header of a picture says that it is too large, before it is decoded."""
    try:
        shape = _read_shape(upload.data)
    except Image.DecompressionBombError as error:
        raise DataError(f"{upload.name} is too large: the lab takes {_name_limit(most)}") from error
    except Exception:  # whoever reads it says what is wrong
        return
    count = int(np.prod([float(side) for side in shape]))
    if count > most or max(shape, default=0) > LONGEST:
        size = " x ".join(map(str, shape))
        raise DataError(
            f"{upload.name} has {size} pixels, and the lab takes {_name_limit(most)}: shrink or crop it, start the lab "
            f"with a larger --max-pixels, or use `rgmkit restore`"
        )


def _name_limit(most: int) -> str:
    return f"{most / 1e6:g} million, and {LONGEST:,} along a side"


def _read_shape(data: bytes) -> tuple[int, ...]:
    """Read width, height and frames, or the axes of an array, from the header of a file."""
    if data.startswith(NPY):
        file = io.BytesIO(data)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return read(file)[0]
    with warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of many pixels
        try:
            with Image.open(io.BytesIO(data)) as image:
                frames = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
                return (*image.size, frames) if frames > 1 else image.size
        except UnidentifiedImageError:
            return ()


def shrink(picture: Picture, side: int | None) -> Picture:
    """Shrink a picture to a longest side, and round it to 8 bits, as a file would.

    >>> import torch
    >>> shrink(Picture(torch.zeros(1, 3, 100, 50)), 20).x.shape
    torch.Size([1, 3, 20, 10])
    """
    if side is None or picture.x.ndim != 4 or max(picture.x.shape[-2:]) <= side:
        return picture
    factor = side / max(picture.x.shape[-2:])
    size = [max(1, round(length * factor)) for length in picture.x.shape[-2:]]
    x = interpolate(picture.x, size=size, mode="bilinear", antialias=True, align_corners=False)
    return Picture((x.clamp(0, 1) * EIGHT_BITS).round() / EIGHT_BITS)


def look_at(upload: Upload, *, most: int, axes: str | None = None, range: Range | None = None) -> dict[str, Any]:
    """Describe an uploaded picture, with a preview."""
    picture = read_upload(upload, most=most, axes=axes, range=range)
    x = picture.x
    notes = list(picture.notes)
    if picture.alpha is not None:
        notes.append("its transparency is set aside")
    facts: dict[str, Any] = {"name": upload.name, "shape": list(x.shape), "bits": picture.bits, "notes": notes}
    if x.ndim != 4:
        return facts | {"preview": None}
    small = picture if x.is_complex() or x.shape[1] not in (1, 3) else shrink(replace(picture, x=x[:1]), PREVIEW)
    view = view_png(small.x)
    preview = None if view is None else "data:image/png;base64," + base64.b64encode(view).decode()
    return facts | {"preview": preview, "height": x.shape[-2], "width": x.shape[-1], "channels": x.shape[1]}


def view_png(x: Tensor, *, stretch: bool = False) -> bytes | None:
    """Encode a view of the first picture of a batch as PNG; None if it holds no picture.

    Values outside [0, 1] are clipped where this changes little, as noise does, so that pictures have one scale.
    """
    x = x[:1].detach().cpu()
    if x.ndim != 4:
        return None
    if not x.is_complex() and not stretch and float((x - x.clamp(0, 1)).abs().mean()) < CLIPPED:
        x = x.clamp(0, 1)
    view = make_view(x, stretch=stretch)
    return None if view is None else encode(view)


def encode(view: np.ndarray) -> bytes:
    """Encode a view as PNG, fast rather than small."""
    file = io.BytesIO()
    Image.fromarray(view).save(file, "PNG", compress_level=1)
    return file.getvalue()


def small_png(x: Tensor, side: int = 256) -> bytes:
    """Encode a small view of the estimate so far."""
    one = x[:1].detach().float().cpu()
    if one.ndim != 4 or one.shape[1] not in (1, 3):
        return b""
    return view_png(shrink(to_picture(one), side).x) or b""
