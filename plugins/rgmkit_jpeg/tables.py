"""The constants of JPEG: quantisation tables, the transform of a block, and the conversion of colours."""

from __future__ import annotations

import numpy as np

LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
"""Quantisation of luminance (rows: vertical frequency), Rec. ITU-T T.81, table K.1."""

CHROMINANCE = np.full((8, 8), 99)
CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
"""Quantisation of chrominance, table K.2."""

YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])
"""RGB to Y, Cb - 1/2, Cr - 1/2 (JFIF 1.02)."""


def scale_table(table: np.ndarray, quality: float) -> np.ndarray:
    """Scale a table to a quality of 1 to 100 by the rule of libjpeg, `jpeg_set_quality`: 50 leaves it unchanged.

    >>> scale_table(LUMINANCE, 75)[0], scale_table(LUMINANCE, 100)[0]
    (array([ 8,  6,  5,  8, 12, 20, 26, 31]), array([1, 1, 1, 1, 1, 1, 1, 1]))
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip(np.floor((table * percent + 50) / 100), 1, 255).astype(int)


def cosines() -> np.ndarray:
    """Return the orthonormal DCT-II of 8 values, rows are frequencies; a block X has the coefficients `D X D^T`."""
    k, n = np.ogrid[:8, :8]
    rows = np.cos(np.pi * (2 * n + 1) * k / 16) / 2
    rows[0] /= np.sqrt(2)
    return rows
