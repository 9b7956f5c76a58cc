"""JPEG, at a high quality and without subsampling of colours."""

from __future__ import annotations

import numpy as np

from rgmkit.images.codecs import pillow

QUALITY = 95

decode = pillow.decode


def encode(array: np.ndarray) -> bytes:
    """Encode an array of 8 bits without alpha."""
    return pillow.encode(array, kind="jpeg", quality=QUALITY, subsampling=0)
