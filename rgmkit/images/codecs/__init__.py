"""Picture formats: modules with `decode(data, limit)` and `encode(array, axes, alpha, scale)`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Decoded(NamedTuple):
    """What a file holds.

    Attributes:
        array: its values.
        axes: a letter for each axis, see `rgmkit.images.axes`; None if the file does not say.
        alpha: whether the file says that the last channel is alpha.
        notes: for the user, on what was not read.
        scale: the size of a pixel and the time between frames, as the writer of the format takes them.
        range: the values of black and white, if they are not those of the type.
    """

    array: np.ndarray
    axes: str | None
    alpha: bool = False
    notes: tuple[str, ...] = ()
    scale: Mapping[str, Any] = {}
    range: tuple[float, float] | None = None
