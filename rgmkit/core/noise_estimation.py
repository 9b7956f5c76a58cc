"""Estimate the noise of an image from the image."""

from __future__ import annotations

import math
import warnings

import numpy as np
from torch import Tensor

from rgmkit.errors import DataError

LEAST_SIDE = 8  # pixels: with fewer there are too few details for a median
TILE = 16  # details along a side, which are 32 pixels
QUANTILE, BELOW = 0.25, 0.6745  # the quietest quarter of the tiles; a standard normal value is below -.6745 as often
SPREAD = 1.166  # std of median |d| / .6745 of n normal values, times sqrt(n)


def wavelet_std(y: Tensor, name: str = "the measurement") -> float:
    """Estimate the std of the white noise in a batch of images (B, C, H, W), one number for all of them.

    Where an image has no texture, `median |d| / .6745` over its finest diagonal wavelet details d (db2) is the std of
    the noise. It is computed for tiles of 32 x 32 pixels; the estimate is the lower quartile over the tiles of all
    channels and images, divided by its expectation for pure noise of std 1, or the median of fewer than four tiles.
    Details that are exactly 0, where values were clipped, are left out.

    Fine texture counts as noise: on four scikit-image photographs the estimate is 11 to 23 % too large at noise .01,
    1 to 4 % from .05 on, and .002 to .006 without noise (docs/solvers.md).

    Raises:
        DataError: if `y` is no batch of real images of 8 x 8 pixels or more.

    Source: Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", 1994.
    """
    if y.ndim != 4 or y.is_complex() or min(y.shape[-2:]) < LEAST_SIDE:
        kind = "complex " if y.is_complex() else ""
        raise DataError(
            f"{name}: the noise of a {kind}measurement of shape {tuple(y.shape)} cannot be estimated, only that of "
            f"images of {LEAST_SIDE} x {LEAST_SIDE} pixels or more: give noise=, its standard deviation"
        )
    import pywt

    planes = y.detach().double().flatten(0, 1).cpu().numpy()
    tiles = _tiles(pywt.dwt2(planes, "db2", axes=(-2, -1))[1][2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of tiles of zeros only, which are left out below
        stds = np.nanmedian(np.where(tiles == 0, np.nan, np.abs(tiles)), axis=1) / BELOW
    stds = stds[~np.isnan(stds)]
    if len(stds) < 1 / QUANTILE:
        return float(np.median(stds)) if len(stds) else 0.0
    return float(np.quantile(stds, QUANTILE)) / (1 - BELOW * SPREAD / math.sqrt(tiles.shape[1]))


def _tiles(details: np.ndarray) -> np.ndarray:
    """Cut details (n, h, w) into tiles, one a row; the remainder at the border is dropped."""
    n, *sides = details.shape
    (rows, height), (columns, width) = ((side // min(side, TILE), min(side, TILE)) for side in sides)
    whole = details[:, : rows * height, : columns * width]
    return whole.reshape(n, rows, height, columns, width).swapaxes(2, 3).reshape(-1, height * width)
