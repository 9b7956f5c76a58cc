"""Base classes of picture data sets: square crops, a cache, and the handling of broken pictures."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import IO, BinaryIO, Literal, TypeAlias

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

from rgmkit.core.bounds import Count
from rgmkit.errors import ConfigError, DataError
from rgmkit.images import decode
from rgmkit.images.array_layout import quantise
from rgmkit.images.crops import TILED, Crops, open_crops
from rgmkit.images.limits import TooLargeError, check_pixels, choose_limit
from rgmkit.training.data.base import FiniteData, Flip

MEMORY = 2**30  # bytes of decoded pictures that are cached
MOST_BROKEN = 0.01  # largest fraction of broken pictures in a data set

Channels: TypeAlias = Literal["grey", "rgb"]
Crop: TypeAlias = Literal["centre", "random"]
Section: TypeAlias = tuple[IO[bytes], int, int]


class Pictures(FiniteData):
    """Square crops of pictures, (C, size, size) in [0, 1].

    A picture is decoded when it is first needed, and cached in 8 bits per value until the cache has 1 GiB. A broken
    picture is replaced by the next intact one; more than 1 % of broken pictures raise a DataError. Of a TIFF file of
    more than `max_pixels` only what lies under a crop is decoded, each time.

    Args:
        size: side of a crop, in pixels. Pictures are cropped, never resized.
        channels: "rgb" or "grey"; pictures of the other kind are converted (luma of ITU-R BT.601).
        crop: "centre", or "random" for a new position at each draw.
        flip: mirror each image left to right with probability 1/2; "all": one of the eight rotations and reflections
            of each image.
        max_pixels: refuse pictures of more pixels, see `rgmkit.images.read`, unless crops of them can be read.
    """

    def __init__(
        self,
        *,
        size: Count,
        channels: Channels = "rgb",
        crop: Crop = "centre",
        flip: Flip = False,
        max_pixels: Count | None = None,
    ) -> None:
        super().__init__(flip=flip)
        if size < 1:
            raise ConfigError(f"size is {size}: give the side of a crop in pixels, 1 or more")
        self.size, self.crop, self.channels = size, crop, channels
        self.max_pixels = max_pixels
        self.draws = crop == "random"
        self.shape = (3 if channels == "rgb" else 1, size, size)
        self._cache: dict[int, Tensor] = {}
        self._room = MEMORY
        self._broken: set[int] = set()
        self._giants: set[int] = set()  # files of too many pixels, of which crops are read
        self._lock = Lock()  # guards the four above: several threads read pictures

    @abstractmethod
    def name(self, i: int) -> str:
        """Return the name of picture `i` for messages."""

    @abstractmethod
    def picture(self, i: int) -> Tensor:
        """Read picture `i`, (1, H, W) or (3, H, W) in [0, 1].

        Raises:
            DataError: if it is broken.
        """

    def take(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return crops of the pictures with these indices, (n, C, size, size), at positions drawn by `generator`."""
        corners = torch.rand(len(indices), 2, generator=generator).tolist()
        crops = [self._draw(i, *corner) for i, corner in zip(indices.tolist(), corners, strict=True)]
        return torch.stack(crops).float() / 255

    def _draw(self, i: int, down: float, right: float) -> Tensor:
        """Crop picture `i`, or the next intact one, at these fractions of the largest offsets, in uint8."""
        while True:
            cached = self._cache.get(i)
            if cached is not None:
                return self._crop(cached, down, right)
            if i not in self._broken:
                try:
                    return self._read(i, down, right)
                except DataError as error:
                    self._skip(i, error)
            i = (i + 1) % len(self)

    def _read(self, i: int, down: float, right: float) -> Tensor:
        return self._crop(self._keep(i, self._prepare(self.picture(i), i)), down, right)

    def _crop(self, image: Tensor, down: float, right: float) -> Tensor:
        """Crop at these fractions of the largest offsets; a centred crop is cached as such and stays as it is."""
        height, width = image.shape[1:]
        top, left = self._corner(height, width, down, right)
        return image[:, top : top + self.size, left : left + self.size]

    def _corner(self, height: int, width: int, down: float, right: float) -> tuple[int, int]:
        if self.crop == "centre":
            return (height - self.size) // 2, (width - self.size) // 2
        return int(down * (height - self.size + 1)), int(right * (width - self.size + 1))

    def _keep(self, i: int, image: Tensor) -> Tensor:
        with self._lock:
            if image.numel() <= self._room and i not in self._cache:
                self._cache[i] = image
                self._room -= image.numel()
        return image

    def _prepare(self, x: Tensor, i: int) -> Tensor:
        height, width = x.shape[1:]
        if min(height, width) < self.size:
            raise DataError(describe_size(self.name(i), width, height, self.size))
        if x.min() < 0 or x.max() > 1:
            raise DataError(describe_range(self.name(i), float(x.min()), float(x.max())))
        x = x[: 3 if len(x) >= 3 else 1]  # bands beyond colour are left out
        if len(x) != self.shape[0]:
            x = x.expand(3, -1, -1) if len(x) == 1 else rgb_to_grayscale(x)
        return quantise(self._crop(x, 0, 0) if self.crop == "centre" else x, torch.uint8)

    def _skip(self, i: int, error: DataError) -> None:
        """Record a broken picture; raise a DataError if there are now too many."""
        with self._lock:
            first = not self._broken
            self._broken.add(i)
            count = len(self._broken)
        if count > MOST_BROKEN * len(self):
            raise DataError(
                f"at least {count} of {len(self)} pictures are broken, more than {MOST_BROKEN:.0%}: repair "
                f"or remove them; the last: {error}"
            ) from error
        if first:
            warnings.warn(f"broken pictures are skipped, up to {MOST_BROKEN:.0%} of them: {error}", stacklevel=2)


class PictureFiles(Pictures):
    """Pictures in files, whose sizes can be checked from their headers.

    Attributes:
        smallest: the shortest side of all pictures, in pixels.
    """

    smallest: int

    @abstractmethod
    def open(self, i: int) -> BinaryIO:
        """Open the file of picture `i`."""

    @abstractmethod
    def section(self, i: int) -> AbstractContextManager[Section]:
        """Open the file that holds picture `i`, and tell where it begins in it, and its size in bytes."""

    def picture(self, i: int) -> Tensor:
        """Read and decode the file."""
        with self.open(i) as file:
            return decode(file.read(), name=self.name(i), max_pixels=self.max_pixels).x[0]

    def _read(self, i: int, down: float, right: float) -> Tensor:
        if i not in self._giants:
            try:
                return super()._read(i, down, right)
            except TooLargeError as error:
                if self._find_giant(i) is None:
                    raise DataError(f"{error}; {TILED}") from error
        crop = self._prepare(self.read_crop(i, down, right), i)
        return self._keep(i, crop) if self.crop == "centre" else crop

    def read_crop(self, i: int, down: float = 0.0, right: float = 0.0) -> Tensor:
        """Read a crop of picture `i`, with the channels that it has; of a giant, only what is under the crop."""
        if i not in self._giants:
            return self._crop(self.picture(i), down, right)
        with self._open_crops(i) as crops:
            assert crops is not None  # since it is a giant
            if min(crops.height, crops.width) < self.size:
                raise DataError(describe_size(crops.name, crops.width, crops.height, self.size))
            return crops.read(*self._corner(crops.height, crops.width, down, right), self.size, self.size)

    def _find_giant(self, i: int) -> tuple[int, int] | None:
        """Return width and height of a picture of too many pixels, but of which crops can be read; None for others."""
        with self._open_crops(i) as crops:
            if crops is None:
                return None
            with self._lock:
                self._giants.add(i)
            return crops.width, crops.height

    @contextmanager
    def _open_crops(self, i: int) -> Iterator[Crops | None]:
        name = self.name(i)  # before the archive, in which it stands, is locked
        with (
            self.section(i) as (file, offset, size),
            open_crops(file, name=name, max_pixels=self.max_pixels, offset=offset, size=size) as crops,
        ):
            yield crops

    def check_sizes(self) -> None:
        """Check the sizes in all headers, so that too small pictures are found before training begins."""
        sizes: dict[int, tuple[int, int]] = {}
        for i in range(len(self)):
            try:
                sizes[i] = self._size(i)
            except DataError as error:
                self._skip(i, error)
        smallest = min(sizes, key=lambda i: min(sizes[i]))
        width, height = sizes[smallest]
        self.smallest = min(width, height)
        if self.smallest < self.size:
            small = sum(min(size) < self.size for size in sizes.values())
            raise DataError(
                f"pictures smaller than the crop of size {self.size}: {small} of {len(self)}, the smallest "
                f"{self.name(smallest)} with {width}x{height} pixels; give size {min(width, height)} or less, or "
                f"enlarge or remove them"
            )

    def _size(self, i: int) -> tuple[int, int]:
        """Return width and height from the header; decode the picture if Pillow cannot read it."""
        try:
            with warnings.catch_warnings(), self.open(i) as file:
                warnings.simplefilter("ignore")
                with Image.open(file) as image:
                    check_pixels(choose_limit(self.max_pixels), *image.size)
                    return image.size
        except Exception:  # `picture` explains what is wrong
            giant = self._find_giant(i)
        if giant is not None:
            return giant
        try:
            height, width = self.picture(i).shape[-2:]
        except TooLargeError as error:
            raise DataError(f"{error}; {TILED}") from error
        return width, height


def describe_size(name: str, width: int, height: int, size: int) -> str:
    """Say that a picture is smaller than the crop."""
    return (
        f"{name} has {width}x{height} pixels, less than the crop of size {size}: give size {min(height, width)} or "
        f"less, or enlarge or remove it"
    )


def describe_range(name: str, low: float, high: float) -> str:
    """Say that values are outside [0, 1]."""
    return f"{name} holds values from {low:g} to {high:g}: scale them to [0, 1], and save no NaN"
