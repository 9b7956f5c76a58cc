"""Readers and writers of picture formats, one module each, with `decode(data)` and `encode(array, axes, alpha)`."""

from typing import NamedTuple

import numpy as np


class Decoded(NamedTuple):
    """What a file holds.

    Attributes:
        array: its values.
        axes: a letter for each axis, see `rgmkit.images.axes`; None if the file does not say.
        alpha: whether the file says that the last channel is alpha.
        notes: for the user, on what was not read.
    """

    array: np.ndarray
    axes: str | None
    alpha: bool = False
    notes: tuple[str, ...] = ()
