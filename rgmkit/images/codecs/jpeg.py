"""JPEG, at a high quality and without subsampling of colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rgmkit.images.codecs import pillow

QUALITY = 95

decode = pillow.decode


def encode(array: np.ndarray, axes: str, alpha: bool, scale: Mapping[str, Any]) -> bytes:
    """Encode an array (H, W) or (H, W, C) of 8 bits without alpha."""
    return pillow.encode(array, kind="jpeg", quality=QUALITY, subsampling=0)
