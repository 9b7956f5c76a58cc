"""Masks: which pixels of an image are known."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError, DataError, IncompatibleError


@dataclass(frozen=True)
class Mask(ABC):
    """The known pixels, the same in every channel and image; equal masks share a cache entry."""

    @abstractmethod
    def known(self, height: int, width: int) -> np.ndarray:
        """Return booleans (height, width), true where a pixel is known."""

    def at(self, severity: float) -> Mask | None:
        """Return a mask of this kind with fewer missing pixels; None if the kind has no such mask."""
        return None


@dataclass(frozen=True)
class Pixels(Mask):
    """Each pixel is known with probability `keep`: a uniform number, drawn from (seed, height, width), is below `keep`.

    Pixels known with one `keep` are known with every larger one.

    >>> int(Pixels(keep=0.25).known(100, 100).sum())
    2553
    """

    keep: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ConfigError(f"keep is {self.keep}: give the fraction of known pixels, above 0 and at most 1")

    def known(self, height: int, width: int) -> np.ndarray:
        """Draw the known pixels."""
        drawn = torch.rand(height, width, generator=seeded(self.seed, height, width), dtype=torch.float64)
        return (drawn < self.keep).numpy()

    def at(self, severity: float) -> Pixels:
        """Return the mask with the fraction `1 - severity (1 - keep)` of known pixels."""
        return replace(self, keep=1 - severity * (1 - self.keep))


@dataclass(frozen=True)
class Box(Mask):
    """All pixels outside of a box are known; None stands for half the side of the image, or for a box in the middle.

    >>> Box(height=1).known(3, 4).astype(int)
    array([[1, 1, 1, 1],
           [1, 0, 0, 1],
           [1, 1, 1, 1]])
    """

    top: int | None = None
    left: int | None = None
    height: int | None = None
    width: int | None = None
    scale: float = 1.0

    @staticmethod
    def of(numbers: tuple[int, ...]) -> Box:
        """Make a box from (top, left, height, width), or from (height, width) for one in the middle."""
        box = Box(*numbers) if len(numbers) == 4 else Box(None, None, *numbers)
        if len(numbers) not in (2, 4) or min(numbers) < 0 or 0 in numbers[-2:]:
            raise ConfigError(
                f"box is {list(numbers)}: give [top, left, height, width] in pixels, or [height, width] for a box in "
                f"the middle; height and width are 1 or more"
            )
        return box

    def known(self, height: int, width: int) -> np.ndarray:
        """Return booleans that are false in the box.

        Raises:
            IncompatibleError: if the box is not within the image.
        """
        known = np.ones((height, width), dtype=bool)
        known[np.ix_(*map(self._missing, (self.top, self.left), (self.height, self.width), (height, width)))] = False
        return known

    def at(self, severity: float) -> Box:
        """Return a smaller box with the same centre."""
        return replace(self, scale=severity * self.scale)

    def _missing(self, start: int | None, length: int | None, side: int) -> range:
        length = side // 2 if length is None else length
        start = (side - length) // 2 if start is None else start
        if start < 0 or start + length > side:
            raise IncompatibleError(
                f"inpaint: the box covers the pixels {start} to {start + length - 1} of a side of {side} pixels: "
                f"give a box [top, left, height, width] within the image"
            )
        scaled = round(self.scale * length)
        start += (length - scaled) // 2
        return range(start, start + scaled)


@dataclass(frozen=True)
class Fixed(Mask):
    """A mask of one size, from an image or an array.

    >>> Fixed.of(np.array([[1.0, 0.2, 0.7]]), "mask").known(1, 3)
    array([[ True, False,  True]])
    """

    name: str
    shape: tuple[int, int]
    data: bytes = field(repr=False)

    @staticmethod
    def of(values: np.ndarray, name: str) -> Fixed:
        """Make a mask that is known where the values (H, W) are at least 1/2.

        Raises:
            DataError: if there is no such value, or the array has another number of axes.
        """
        if values.ndim != 2:
            raise DataError(f"{name} has shape {values.shape}: give an array (H, W), 1 where pixels are known")
        white = values >= 0.5
        if not white.any():
            raise DataError(f"{name} is nowhere white: make it white (1) where pixels are known")
        return Fixed(name, (white.shape[0], white.shape[1]), white.tobytes())

    def known(self, height: int, width: int) -> np.ndarray:
        """Return the mask.

        Raises:
            IncompatibleError: for an image of another size.
        """
        if (height, width) != self.shape:
            raise IncompatibleError(
                f"inpaint: {self.name} has {self.shape[0]} x {self.shape[1]} pixels and the image {height} x {width} "
                f"(height x width): give a mask of the size of the image"
            )
        return np.frombuffer(self.data, dtype=bool).reshape(self.shape)


def as_mask(mask: Path | Tensor | np.ndarray | Mask) -> Mask:
    """Convert the path of an image or an array (H, W) to a mask; a mask is returned as it is.

    White pixels of an image are known: the mean of the colours times alpha is at least 1/2.

    Raises:
        DataError: if a file is missing or not an image, or the mask is nowhere white.
    """
    if isinstance(mask, Mask):
        return mask
    if isinstance(mask, Tensor):
        mask = mask.detach().cpu().numpy()
    if isinstance(mask, np.ndarray):
        return Fixed.of(mask.reshape(mask.shape[-2:]) if mask.size == math.prod(mask.shape[-2:]) else mask, "the mask")
    return Fixed.of(_read_white(Path(mask)), f"the mask {mask}")


def _read_white(path: Path) -> np.ndarray:
    from rgmkit.images import read

    if not path.exists():
        raise DataError(
            f"mask is {str(path)!r}: give the path of an image file that exists, white where pixels are known"
        )
    picture = read(path)
    grey = picture.x.mean(1)
    return (grey if picture.alpha is None else grey * picture.alpha[:, 0])[0].numpy()
