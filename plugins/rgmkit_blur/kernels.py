"""Kernels: float64 arrays with odd sides whose values are non-negative and sum to 1."""

from __future__ import annotations

import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rgmkit.errors import ConfigError, DataError

TRUNCATE = 4.0  # standard deviations kept of a Gaussian, as in scipy.ndimage
ROUNDING = 1e-12  # of the values of a symmetric kernel
LARGEST_STD, LARGEST_LENGTH = 250, 2000  # a kernel of 2001 x 2001 float64 values is 32 MB


@dataclass(frozen=True)
class Kernel:
    """An immutable kernel; equal kernels are the same key of a cache."""

    shape: tuple[int, int]
    data: bytes

    @staticmethod
    def of(taps: np.ndarray) -> Kernel:
        """Normalise `taps` to sum 1 and remove margins of zeros; the centre n // 2 of each side stays the centre."""
        taps = np.pad(np.asarray(taps, dtype=np.float64), [(0, 1 - n % 2) for n in taps.shape])
        reach = [np.abs(at - n // 2).max() for at, n in zip(taps.nonzero(), taps.shape, strict=True)]
        taps = taps[tuple(slice(n // 2 - r, n // 2 + r + 1) for r, n in zip(reach, taps.shape, strict=True))]
        rows, columns = taps.shape
        return Kernel((rows, columns), (taps / taps.sum()).tobytes())

    @property
    def taps(self) -> np.ndarray:
        """The values, float64."""
        return np.frombuffer(self.data).reshape(self.shape)

    @property
    def radius(self) -> tuple[int, int]:
        """The number of rows above, and of columns left of, the centre."""
        return self.shape[0] // 2, self.shape[1] // 2


@functools.lru_cache(maxsize=64)
def is_symmetric(kernel: Kernel) -> bool:
    """Tell whether a kernel is the same upside down, and the same from right to left."""
    taps = kernel.taps
    return np.allclose(taps, taps[::-1], atol=ROUNDING) and np.allclose(taps, taps[:, ::-1], atol=ROUNDING)


@dataclass(frozen=True)
class Gaussian:
    """`exp(-|u|^2 / (2 std^2))` at whole pixels, truncated at 4 std.

    >>> Gaussian(std=1.0).kernel().shape
    (9, 9)
    """

    std: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.std <= LARGEST_STD:
            raise ConfigError(f"std is {self.std}: give the width of the Gaussian, 0 to {LARGEST_STD} pixels")

    def kernel(self) -> Kernel:
        """Return the kernel."""
        radius = int(TRUNCATE * self.std + 0.5)
        u = np.arange(-radius, radius + 1)
        line = np.exp(-0.5 * np.square(u / self.std)) if radius else np.ones(1)
        return Kernel.of(np.outer(line, line))


@dataclass(frozen=True)
class Motion:
    """A straight motion at constant speed: each tap is the fraction of the exposure spent in that pixel.

    The point moves along a segment of `length` pixels, centred, at `angle` degrees counter-clockwise
    from the horizontal.

    >>> Motion(length=4.0).kernel().taps
    array([[0.125, 0.25 , 0.25 , 0.25 , 0.125]])
    """

    length: float = 9.0
    angle: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.length <= LARGEST_LENGTH:
            raise ConfigError(f"length is {self.length}: give the length of the motion, 0 to {LARGEST_LENGTH} pixels")
        if not math.isfinite(self.angle):
            raise ConfigError(f"angle is {self.angle}: give the direction of the motion, in degrees")

    def kernel(self) -> Kernel:
        """Return the kernel, from the points at which the segment crosses borders of pixels."""
        turn = math.radians(self.angle)
        direction = np.array([-math.sin(turn), math.cos(turn)])  # row and column; rows count downwards
        half = self.length / 2
        radius = np.ceil(np.maximum(half * np.abs(direction) - 0.5 - 1e-9, 0)).astype(int)
        taps = np.zeros(2 * radius + 1)
        cuts = [np.arange(0.5 - r, r) / speed for r, speed in zip(radius, direction, strict=True) if r]
        times = np.sort(np.clip(np.concatenate([[-half, half], *cuts]), -half, half))
        cells = np.rint(np.outer(direction, (times[1:] + times[:-1]) / 2)).astype(int) + radius[:, None]
        np.add.at(taps, tuple(cells), np.diff(times) if half else 1.0)
        return Kernel.of((taps + taps[::-1, ::-1]) / 2)


def read_kernel(path: Path) -> Kernel:
    """Read a kernel from an image file: the mean of the colours, normalised to sum 1.

    Raises:
        DataError: if the file is missing or no image, or its values are negative or all 0.
    """
    from rgmkit.images import read

    if not os.path.exists(path):
        raise DataError(f"kernel is {str(path)!r}: give gaussian, motion or the path of an image file that exists")
    taps = read(path).x[0].double().mean(0).numpy()
    if taps.min() < 0 or taps.max() <= 0:
        raise DataError(
            f"kernel {path} has values from {taps.min():g} to {taps.max():g}: give an image without negative "
            f"values and not all black"
        )
    return Kernel.of(taps)
