"""Anti-aliasing filters along one axis, centred on the coarse pixel."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Taps = tuple[int, np.ndarray]
"""Index of the first tap, counted from the first fine pixel of a coarse one, and the taps in float64."""


def gaussian(factor: int) -> Taps:
    """Return a Gaussian of std `sqrt(factor^2 - 1) / 2` fine pixels, truncated at 4 std.

    If the fine image is a scene blurred with a std of half a fine pixel, the coarse image is the scene blurred with
    a std of half a coarse pixel.
    """
    std = math.sqrt(factor**2 - 1) / 2
    return _centred(factor, 4 * std, lambda u: np.exp(-0.5 * np.square(u / std)) if std else np.ones_like(u))


def bicubic(factor: int) -> Taps:
    """Return Keys' cubic (a = -1/2) stretched by the factor, as Pillow and MATLAB use it to shrink images.

    Source: Keys, IEEE Trans. Acoustics, Speech, and Signal Processing, 1981.
    """
    return _centred(factor, 2 * factor, lambda u: keys(np.abs(u) / factor))


def keys(u: np.ndarray) -> np.ndarray:
    """Return the cubic convolution kernel with a = -1/2 at distances `u >= 0`."""
    near = 1 + u**2 * (1.5 * u - 2.5)
    far = 2 + u * (-4 + u * (2.5 - 0.5 * u))
    return np.where(u < 1, near, np.where(u < 2, far, 0))


FILTERS: dict[str, Callable[[int], Taps]] = {"gaussian": gaussian, "bicubic": bicubic}


def _centred(factor: int, reach: float, response: Callable[[np.ndarray], np.ndarray]) -> Taps:
    """Sample `response` within `reach` of the centre of a coarse pixel, and normalise it to sum 1."""
    centre = (factor - 1) / 2
    first = math.ceil(centre - reach)
    values = response(np.arange(first, factor - first) - centre)
    return first, values / values.sum()
