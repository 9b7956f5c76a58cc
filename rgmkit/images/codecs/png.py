"""PNG in 8 and 16 bits. Pillow does not support several 16-bit channels: these are handled here."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from rgmkit.images.codecs import Decoded, pillow


def decode(data: bytes) -> Decoded:
    """Decode a PNG of any kind."""
    has_16_bits = data[24:25] == b"\x10"  # the depth in its header
    return _decode_16_bits(data) if has_16_bits else pillow.decode(data)


def encode(array: np.ndarray, axes: str, alpha: bool, scale: Mapping[str, Any]) -> bytes:
    """Encode an array (H, W) or (H, W, C) of uint8 or uint16."""
    return _encode_16_bits(array) if array.dtype == np.uint16 else pillow.encode(array)


def _decode_16_bits(data: bytes) -> Decoded:
    """Decode a PNG of 16 bits as two pictures of 8 bits.

    Its values are big-endian. Pillow's readers for 16-bit colours keep only the high byte: the reader for big-endian
    order gives the first byte of each value, the reader for little-endian order the second.
    """
    with Image.open(io.BytesIO(data)) as image:
        raw_mode, orientation = image.tile[0][-1], image.getexif().get(pillow.ORIENTATION)

    def read_as(raw_mode: str) -> np.ndarray:
        with Image.open(io.BytesIO(data)) as image:
            image.tile = [(*image.tile[0][:-1], raw_mode)]
            return np.asarray(image).astype(np.uint16)

    if raw_mode == "I;16B":
        array = read_as(raw_mode)
    elif raw_mode == "LA;16B":  # grey and alpha: read the four bytes of a pixel as RGBA
        pairs = read_as("RGBA")
        array = 256 * pairs[..., ::2] + pairs[..., 1::2]
    else:
        array = 256 * read_as(raw_mode) + read_as(raw_mode.replace(";16B", ";16L"))
    return pillow.describe(pillow.turn_upright(array, orientation))


def _encode_16_bits(array: np.ndarray) -> bytes:
    """Encode a PNG of 16 bits, with filter 0.

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
