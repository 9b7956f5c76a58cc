"""Anti-aliasing filters along one axis, centred on the coarse pixel."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Taps = tuple[int, np.ndarray]
"""Index of the first tap, counted from the first fine pixel of a coarse one, and the taps in float64."""


def gaussian(factor: int) -> Taps:
    """A Gaussian of std `sqrt(factor^2 - 1) / 2` fine pixels, truncated at 4 std.

    Seen as samples of a scene that was blurred with a std of half a pixel, a fine image gets the blur
    that is missing to half a coarse pixel.
    """
    std = math.sqrt(factor**2 - 1) / 2
    return _centred(factor, 4 * std, lambda u: np.exp(-0.5 * np.square(u / std)) if std else np.ones_like(u))


def bicubic(factor: int) -> Taps:
    """Keys' cubic (a = -1/2) stretched by the factor, as Pillow and MATLAB do when they shrink an image.

    Source: Keys, IEEE Trans. Acoustics, Speech, and Signal Processing, 1981.
    """
    return _centred(factor, 2 * factor, lambda u: keys(np.abs(u) / factor))


def keys(u: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel with a = -1/2 at distances `u >= 0`."""
    near = 1 + u**2 * (1.5 * u - 2.5)
    far = 2 + u * (-4 + u * (2.5 - 0.5 * u))
    return np.where(u < 1, near, np.where(u < 2, far, 0))


FILTERS: dict[str, Callable[[int], Taps]] = {"gaussian": gaussian, "bicubic": bicubic}


def _centred(factor: int, reach: float, response: Callable[[np.ndarray], np.ndarray]) -> Taps:
    """`response` at the fine pixels within `reach` of the centre `(factor - 1) / 2` of a coarse pixel, sum 1."""
    centre = (factor - 1) / 2
    first = math.ceil(centre - reach)
    values = response(np.arange(first, factor - first) - centre)
    return first, values / values.sum()
