"""Files out: PNG, JPEG, TIFF and .npy, whole or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rgmkit.errors import DataError
from rgmkit.images.array_layout import quantised, resized
from rgmkit.images.picture import Picture
from rgmkit.runtime.files import check_writable, write_aside

JPEG_QUALITY = 95
ALIKE = 0.02  # of one step: float32 rounding of 16-bit values


@dataclass(frozen=True)
class Written:
    """What became of the values in a file.

    Attributes:
        path: of the file.
        bits: depth of a stored value; 32 are floats.
        values: number of values of the image.
        clipped: how many of them lay outside [0, 1] and were clipped.
        quantised: whether any was rounded to a step of the depth.
        notes: in words for the user, what was left out.
    """

    path: Path
    bits: int
    values: int
    clipped: int = 0
    quantised: bool = False
    notes: tuple[str, ...] = ()

    @property
    def loss(self) -> str:
        """What the values lost, in words; empty where it is no more than the rounding of 16 bits.

        >>> Written(Path("y.png"), bits=8, values=4, clipped=2, quantised=True).loss
        '2 of 4 values are clipped to [0, 1], all are rounded to 8 bits'
        """
        clipped = [f"{self.clipped} of {self.values} values are clipped to [0, 1]"] if self.clipped else []
        rounded = ["all are rounded to 8 bits"] if self.quantised and self.bits == 8 else []
        return ", ".join(clipped + rounded)


def write(path: str | Path, picture: Picture | Tensor) -> Written:
    """Write a picture, or a tensor (C, H, W) or (1, C, H, W), in the format that the ending names.

    PNG and TIFF are written in the depth of the picture (floats: 8 bits in PNG, float32 in TIFF),
    JPEG in 8 bits without alpha, .npy as float32 `(H, W)` or `(H, W, C)`. Missing folders are made. The
    file appears whole, under its name, when everything is written.

    Raises:
        DataError: for another ending, an image that is neither grey nor colour, or a place where
            no file can be written.
    """
    path = Path(path)
    check_target(path)
    picture = picture if isinstance(picture, Picture) else Picture(picture)
    x = picture.x if picture.x.ndim == 4 else picture.x[None]
    if x.ndim != 4 or len(x) != 1 or x.shape[1] not in (1, 3):
        raise DataError(f"{path}: a picture is (1, C, H, W) with 1 or 3 channels, not {tuple(picture.x.shape)}")
    x = x.detach().float().cpu()
    encode, depths = FORMATS[path.suffix.lower()]
    bits = depths[picture.bits]
    notes = []
    full = x
    if picture.alpha is not None and encode is _jpeg:
        notes.append("JPEG has no alpha channel: it is left out")
    elif picture.alpha is not None:
        full = torch.cat([x, resized(picture.alpha.float().cpu(), x)], dim=1)
    content = encode(_stored(full, bits))
    with write_aside(path) as part:
        part.write_bytes(content)
    if bits == 32:
        return Written(path, bits, x.numel(), notes=tuple(notes))
    inside = x.clamp(0, 1)
    steps = inside * (2**bits - 1)
    quantised = bool(((steps - steps.round()).abs() > ALIKE).any())
    return Written(path, bits, x.numel(), int((x != inside).sum()), quantised, tuple(notes))


def check_target(path: str | Path) -> None:
    """Raise a DataError unless a picture can be written to `path`: look before a long computation."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path} has the ending {path.suffix!r}: name a file that ends in {', '.join(FORMATS)}")
    check_writable(path)


def _stored(x: Tensor, bits: int) -> np.ndarray:
    x = x[0].movedim(0, -1)
    if bits < 32:
        x = quantised(x, torch.uint8 if bits == 8 else torch.uint16)
    return np.ascontiguousarray(x.squeeze(-1).numpy() if x.shape[-1] == 1 else x.numpy())


def _png(array: np.ndarray) -> bytes:
    return _png16(array) if array.dtype == np.uint16 else _save(array, "png")


def _jpeg(array: np.ndarray) -> bytes:
    return _save(array, "jpeg", quality=JPEG_QUALITY, subsampling=0)


def _save(array: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def _png16(array: np.ndarray) -> bytes:
    """A 16-bit PNG, filter 0: Pillow and torchvision write none of more than one channel.

    Source: PNG specification, ISO/IEC 15948, sections 5 and 11.
    """
    height, width = array.shape[:2]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[array[0, 0].size]
    rows = array.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.pad(rows, ((0, 0), (1, 0)))
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _tiff(array: np.ndarray) -> bytes:
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


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


Encoder = Callable[[np.ndarray], bytes]
EIGHT, KEPT, FLOAT = {8: 8, 16: 8, 32: 8}, {8: 8, 16: 16, 32: 32}, {8: 32, 16: 32, 32: 32}
FORMATS: dict[str, tuple[Encoder, dict[int, int]]] = {  # of each ending: the encoder, and which depth becomes which
    ".png": (_png, {8: 8, 16: 16, 32: 8}),
    ".jpg": (_jpeg, EIGHT),
    ".jpeg": (_jpeg, EIGHT),
    ".tif": (_tiff, KEPT),
    ".tiff": (_tiff, KEPT),
    ".npy": (_npy, FLOAT),
}
