"""Estimate the noise of an image from the image."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from torch import Tensor

from rgmkit.errors import DataError

MOST_VALUES = 2**16  # that are looked at for a rounding step
FINEST, OFF_GRID = 1e-5, 0.05  # least step, and largest distance from the grid, in steps; 16 bits have 1.5e-5
LEAST_SIDE = 8  # pixels: with fewer there are too few details for a median
TILE = 16  # details along a side, which are 32 pixels
QUANTILE, BELOW = 0.25, 0.6745  # the quietest quarter of the tiles; a standard normal value is below -.6745 as often
AVERAGED = 3  # side of the averages of local means
SIMPLER = 2.0  # ratio of chi^2 up to which a line through 0 is preferred
BINS, LEAST_IN_BIN = 12, 200  # of local means for signal-dependent noise: most bins, and least details in one
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
    _check_image(y, name)
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


class AffineVariance(NamedTuple):
    """The noise variance `a v + b` of a measurement, as a function of its value v without noise.

    Attributes:
        a, b: 0 or more.
        certainty: of a, relative to its standard error, beside a free b.
        ratio: of the std of the brightest to that of the darkest twentieth of the values.
    """

    a: float
    b: float
    certainty: float
    ratio: float


def affine_variance(
    y: Tensor, *, a: float | None = None, b: float | None = None, name: str = "the measurement"
) -> AffineVariance:
    """Estimate the variance of signal-dependent noise in one image (1, C, H, W) as `a v + b`.

    The image is cut into db2 wavelet details at half the resolution. They are sorted into bins by the local mean v; in
    each, the quarter of them with the least horizontal and vertical details is taken, where the image contributes
    least to the diagonal detail d, and the variance is `(median |d| / .6745)^2`. The line is fitted by least squares,
    each bin weighted by the number of its details over the square of the variance that the line has there. A line
    through 0 is preferred if its chi^2 is at most 2 times as large, or 2 for each bin.

    Args:
        y: the measurement.
        a: the slope, if it is known.
        b: the variance of a black pixel, if it is known and a is not.
        name: of the measurement, for messages.

    Raises:
        DataError: if `y` is no real image of 8 x 8 pixels or more, or has too few different values.

    Source: Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", 2008, for
    the line over bins of the mean.
    """
    _check_image(y, name)
    import pywt
    from scipy.ndimage import uniform_filter

    planes = y.detach().double().flatten(0, 1).cpu().numpy()
    mean, (across, down, diagonal) = pywt.dwt2(planes, "db2", axes=(-2, -1))
    usable = diagonal != 0  # an exact 0 comes of clipped values
    mean = uniform_filter(mean, (1, AVERAGED, AVERAGED)) / 2  # else the darkest bins would have the least noise
    v, d, texture = mean[usable], diagonal[usable], across[usable] ** 2 + down[usable] ** 2
    order = np.argsort(v)
    bins = [part for part in np.array_split(order, max(1, min(BINS, len(v) // LEAST_IN_BIN))) if len(part)]
    smooth = [part[np.argsort(texture[part])[: max(1, len(part) // 4)]] for part in bins]
    if len(smooth) < 2:
        raise DataError(f"{name}: too few pixels for an estimate of signal-dependent noise: give its parameters")
    levels = np.array([v[part].mean() for part in smooth])
    variances = np.array([(np.median(np.abs(d[part])) / BELOW) ** 2 for part in smooth])
    counts = np.array([len(part) for part in smooth])
    slope, offset, error, misfit = _fit_line(levels, variances, counts, a, b)
    certainty = slope / max(error, np.finfo(float).tiny)
    if a is None and b is None:
        line = _fit_line(levels, variances, counts, None, 0.0)
        if line[3] <= SIMPLER * max(misfit, len(levels)):  # a free b also fits what is wrong with the darkest bins
            slope, offset = line[:2]
    low, high = np.quantile(v, [0.05, 0.95]).clip(min=0)
    floor = np.finfo(float).tiny
    ratio = math.sqrt((slope * high + offset + floor) / (slope * low + offset + floor))
    return AffineVariance(slope, offset, certainty, ratio)


def _fit_line(
    v: np.ndarray, variance: np.ndarray, count: np.ndarray, a: float | None, b: float | None
) -> tuple[float, float, float, float]:
    """Fit `variance = a v + b`, a and b at least 0; return a, b, the standard error of a beside a free b, and chi^2.

    The relative standard error of a variance from the median of n details is `2 SPREAD / sqrt(n)`.
    """
    from scipy.optimize import nnls

    columns = np.stack([v.clip(min=0), np.ones_like(v)], 1)
    known = np.array([np.nan if a is None else a, np.nan if b is None else b])
    free = np.isnan(known)
    rest, least = variance - columns @ np.where(free, 0, known), max(float(np.median(variance)), np.finfo(float).tiny)
    fitted, line = np.full_like(variance, least), known
    for _ in range(4):  # the weights follow the fit
        weight = np.sqrt(count) / (2 * SPREAD * fitted)
        line = known.copy()
        line[free] = nnls(columns[:, free] * weight[:, None], rest * weight)[0]
        fitted = (columns @ line).clip(min=0.01 * least)
    weighted, misfit = columns * weight[:, None], (columns @ line - variance) * np.sqrt(count) / (2 * SPREAD * fitted)
    error = float(np.linalg.pinv(weighted.T @ weighted)[0, 0] ** 0.5)
    return float(line[0]), float(line[1]), error, float(misfit @ misfit)


def rounding_step(y: Tensor) -> float | None:
    """Return the step to which the values of a measurement were rounded; None if they do not lie on a grid.

    >>> import torch
    >>> rounding_step(torch.tensor([0.0, 2.0, 3.0, 40.0])), rounding_step(torch.rand(99))
    (1.0, None)
    """
    if y.is_complex():
        return None
    values = y.detach().flatten()[:: max(1, y.numel() // MOST_VALUES)].double().cpu().unique().numpy()
    gaps = np.diff(values)
    step = float(gaps.min()) if len(gaps) else 0.0
    on_grid = step > FINEST and np.abs(gaps / step - (gaps / step).round()).max() <= OFF_GRID
    return step if on_grid else None


def _check_image(y: Tensor, name: str) -> None:
    """Raise a DataError unless `y` is a batch of real images of 8 x 8 pixels or more."""
    if y.ndim != 4 or y.is_complex() or min(y.shape[-2:]) < LEAST_SIDE:
        kind = "complex " if y.is_complex() else ""
        raise DataError(
            f"{name}: the noise of a {kind}measurement of shape {tuple(y.shape)} cannot be estimated, only that of "
            f"images of {LEAST_SIDE} x {LEAST_SIDE} pixels or more: give noise=, its standard deviation"
        )
