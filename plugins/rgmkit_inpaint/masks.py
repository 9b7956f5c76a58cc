"""Masks: which pixels of an image are known."""

from __future__ import annotations

import math
import os
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError, DataError, IncompatibleError

GREY = 0.02  # pixels of a mask this far from black and white are grey


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
    def of(values: np.ndarray, name: str, *, invert: bool = False, grow: int = 0) -> Fixed:
        """Make a mask that is known where the values (H, W) are white, see `find_white`.

        Args:
            values: of the pixels, such as 0 and 1, or 0 to 255.
            name: for messages.
            invert: whether white pixels are missing.
            grow: number of pixels by which missing regions are widened.

        Raises:
            DataError: if nothing is known, or the array has another number of axes.
        """
        if values.ndim != 2:
            raise DataError(f"{name} has shape {values.shape}: give an array (H, W), 1 where pixels are known")
        white = find_white(values, name)
        known = _widen_holes(white ^ invert, grow)
        if not known.any():
            shade, rest = ("black", " (0)") if invert else ("white", " (1)")
            grown = f" after missing regions are widened by {grow} pixels" if grow and (white ^ invert).any() else ""
            raise DataError(f"{name} is nowhere {shade}{grown}: make it {shade}{rest} where pixels are known")
        return Fixed(name, (known.shape[0], known.shape[1]), known.tobytes())

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


def as_mask(mask: Path | Tensor | np.ndarray | Mask, *, invert: bool = False, grow: int = 0) -> Mask:
    """Convert the path of an image or an array (H, W) to a mask, see `Fixed.of`; a mask is returned as it is.

    The value of a pixel of an image is the mean of the colours times alpha.

    Raises:
        DataError: if a file is missing or not an image, or nothing is known.
    """
    if isinstance(mask, Mask):
        return mask
    if isinstance(mask, Tensor):
        mask = mask.detach().cpu().numpy()
    if isinstance(mask, np.ndarray):
        plane = mask.reshape(mask.shape[-2:]) if mask.size == math.prod(mask.shape[-2:]) else mask
        return Fixed.of(plane, "the mask", invert=invert, grow=grow)
    return Fixed.of(_read_grey(Path(mask)), f"the mask {mask}", invert=invert, grow=grow)


def find_white(values: np.ndarray, name: str) -> np.ndarray:
    """Return booleans, true where the values are at least half of white.

    White is 1, or 255 or 65535 if the largest value is 2 or more; in a mask of 0 and one other value, it is the other.

    Warns:
        UserWarning: if some pixels are grey, as at antialiased edges.

    >>> find_white(np.array([[0, 1]]), "the mask"), find_white(np.array([[0, 100, 255]]), "the mask")
    (array([[False,  True]]), array([[False, False,  True]]))
    """
    values = values.astype(float) / _white_of(values)
    grey = int(((values > GREY) & (values < 1 - GREY)).sum())
    if grey:
        warnings.warn(
            f"{name} has {grey} grey pixels, as at antialiased edges: those that are at least half white count as "
            f"white; grow=1 leaves them out",
            stacklevel=2,
        )
    return values >= 0.5


def _white_of(values: np.ndarray) -> float:
    largest = float(values.max(initial=0))
    if largest > 0 and len(np.unique(values)) == 2 and float(values.min()) == 0:
        return largest
    if largest > 255:
        return 65535.0
    return 255.0 if largest >= 2 else 1.0


def _widen_holes(known: np.ndarray, pixels: int) -> np.ndarray:
    missing = torch.from_numpy(~known)[None].float()
    return max_pool2d(missing, 2 * pixels + 1, stride=1, padding=pixels)[0].numpy() == 0


def _read_grey(path: Path) -> np.ndarray:
    from rgmkit.images import read

    if not os.path.exists(path):
        raise DataError(
            f"mask is {str(path)!r}: give the path of an image file that exists, white where pixels are known"
        )
    picture = read(path)
    grey = picture.x.mean(1)
    return (grey if picture.alpha is None else grey * picture.alpha[:, 0])[0].numpy()
