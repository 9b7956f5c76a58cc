"""PNG in 8 and 16 bits. Pillow does not support several 16-bit channels: these are handled here."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from rgmkit.images.codecs import Decoded, pillow

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY = 0  # the colour type


def decode(data: bytes, limit: int) -> Decoded:
    """Decode a PNG of any kind."""
    depth, colour_type = data[24:26] if len(data) > 25 else (8, 0)  # in its header
    if depth == 16:
        return _decode_16_bits(data, limit)
    return _decode_few_bits(data, depth, limit) if depth < 8 and colour_type == GREY else pillow.decode(data, limit)


def encode(array: np.ndarray, axes: str, alpha: bool, scale: Mapping[str, Any]) -> bytes:
    """Encode an array (H, W) or (H, W, C) of uint8 or uint16."""
    return _encode_16_bits(array) if array.dtype == np.uint16 else pillow.encode(array)


def _decode_few_bits(data: bytes, depth: int, limit: int) -> Decoded:
    """Decode a grey PNG of 1, 2 or 4 bits; Pillow scales its values to 8 bits, and not the transparent one."""
    decoded = pillow.decode(data, limit)
    transparent = _find_chunk(data, b"tRNS")
    if transparent is None:
        return decoded
    grey = decoded.array.reshape(*decoded.array.shape[:2], -1)[..., 0]
    white = 2**depth - 1  # also the bits of the transparent value that count
    return decoded._replace(**_add_alpha(grey, (int.from_bytes(transparent, "big") & white) * 255 // white))


def _find_chunk(data: bytes, kind: bytes) -> bytes | None:
    """Return the content of the first chunk of a kind before the values, None without one."""
    start = len(SIGNATURE)
    while data[start + 4 : start + 8] not in (kind, b"IDAT", b""):
        start += 12 + int.from_bytes(data[start : start + 4], "big")
    length = int.from_bytes(data[start : start + 4], "big")
    return data[start + 8 : start + 8 + length] if data[start + 4 : start + 8] == kind else None


def _add_alpha(array: np.ndarray, transparent: int | tuple[int, ...]) -> dict[str, Any]:
    """Add an alpha channel, 0 where a pixel has the transparent value or colour."""
    pixels = array.reshape(*array.shape[:2], -1)
    opaque = (pixels != np.asarray(transparent)).any(-1, keepdims=True)
    alpha = opaque.astype(array.dtype) * np.iinfo(array.dtype).max
    return {"array": np.concatenate([pixels, alpha], -1), "axes": "YXC", "alpha": True}


def _decode_16_bits(data: bytes, limit: int) -> Decoded:
    """Decode a PNG of 16 bits as two pictures of 8 bits.

    Its values are big-endian. Pillow's readers for 16-bit colours keep only the high byte: the reader for big-endian
    order gives the first byte of each value, the reader for little-endian order the second.
    """
    with pillow.open_picture(data, limit) as image:
        raw_mode, transparent = image.tile[0][-1], image.info.get("transparency")
        image.load()  # metadata may come after the values
        orientation, notes = pillow.read_orientation(image)
        notes += pillow.note_profile(image.info.get("icc_profile"))

    def read_as(raw_mode: str) -> np.ndarray:
        with pillow.open_picture(data, limit) as image:
            image.tile = [(*image.tile[0][:-1], raw_mode)]
            return np.asarray(image).astype(np.uint16)

    if raw_mode == "I;16B":
        array = read_as(raw_mode)
    elif raw_mode == "LA;16B":  # grey and alpha: read the four bytes of a pixel as RGBA
        pairs = read_as("RGBA")
        array = 256 * pairs[..., ::2] + pairs[..., 1::2]
    else:
        array = 256 * read_as(raw_mode) + read_as(raw_mode.replace(";16B", ";16L"))
    decoded = pillow.describe(pillow.turn_upright(array, orientation), notes)
    return decoded if transparent is None else decoded._replace(**_add_alpha(decoded.array, transparent))


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
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
