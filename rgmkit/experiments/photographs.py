"""The pictures of a grid: files, folders, and photographs bundled with scikit-image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

from rgmkit.core.degradation import Degradation
from rgmkit.errors import ConfigError, DataError, naming, suggest
from rgmkit.images import read
from rgmkit.images.codecs.pillow import read_orientation
from rgmkit.images.formats import PICTURE_NAMES, is_picture_file
from rgmkit.images.limits import check_pixels, choose_limit
from rgmkit.images.value_range import check_range
from rgmkit.runtime.files import check_name, explain_unreadable

NAMES = (
    "astronaut", "brick", "camera", "cell", "chelsea", "clock", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip
"""Photographs in the package of scikit-image itself, which need no download."""

DOWNLOADS = ("BSD100HR", "DIV2K", "Flickr2kHR", "Kodak24", "McMaster", "Set14HR", "Set5HR", "Urban100HR")
"""Data sets of deepinv that are folders of pictures."""

BUNDLED = "skimage:"  # prefix of their sources
CHANNELS = {"1": 1, "L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "CMYK": 3, "YCbCr": 3}  # of Pillow's modes
PLAIN = ("JPEG", "PNG")  # formats whose header gives the shape
SIDEWAYS = 5  # the first of the EXIF orientations that rotate a picture by 90 degrees


@dataclass(frozen=True)
class Photograph:
    """One picture of a grid.

    Attributes:
        source: the path of a file, or "skimage:" and a name.
        label: its name in tables and reports.
        set: the name of the set of images that it belongs to.
        crop: side of the centred square crop; None for the whole picture.
        grey: whether a colour picture is converted to grey (luma of ITU-R BT.601).
        range: the values of black and white; None: those of the type, or 0 and 1 for floats.
        max_pixels: the most pixels that are read, see `rgmkit.images.read`.
    """

    source: str
    label: str
    crop: int | None = None
    grey: bool = False
    range: tuple[float, float] | None = None
    set: str = ""
    max_pixels: int | None = None

    def read(self) -> Tensor:
        """Read the picture, (1, C, H, W) in [0, 1], without an alpha channel.

        Raises:
            DataError: if it cannot be read, has frames, bands or values outside [0, 1], or is smaller than the crop.
        """
        x = _bundled(self.source) if self.source.startswith(BUNDLED) else self._read()
        if len(x) != 1 or x.shape[1] not in (1, 3):
            raise DataError(
                f"{self.source} holds {len(x)} frames with {x.shape[1]} channels: save each as a grey or colour picture"
            )
        low, high = float(x.min()), float(x.max())
        if low < 0 or high > 1:
            raise DataError(
                f"{self.source} has values from {low:g} to {high:g}: bring them to [0, 1], or give their range"
            )
        _, _, height, width = x.shape
        shape = self._crop_shape(x.shape[1], height, width)
        if shape[0] != x.shape[1]:
            x = rgb_to_grayscale(x)
        top, left = (height - shape[1]) // 2, (width - shape[2]) // 2
        return x[..., top : top + shape[1], left : left + shape[2]].contiguous()

    def shape(self) -> tuple[int, int, int]:
        """Return the shape (C, H, W) of the picture that `read` returns, from the header of the file if that suffices.

        Raises:
            DataError: as `read`.
        """
        header = _header(self.source)
        if header:
            with naming(self.source):
                check_pixels(choose_limit(self.max_pixels), *header[1:])
        return self._crop_shape(*(header or tuple(self._whole().shape[1:])))

    def _read(self) -> Tensor:
        return read(self.source, range=self.range, max_pixels=self.max_pixels).x

    def _whole(self) -> Tensor:
        return replace(self, crop=None, grey=False).read()

    def _crop_shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        side = self.crop
        if side is not None and min(height, width) < side:
            raise DataError(
                f"crop is {side}, and {self.source} has {height}x{width} pixels (height x width): "
                f"give {min(height, width)} or less"
            )
        return (1 if self.grey else channels), side or height, side or width


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """The `data:` of a grid, or one of several sets of images.

    Args:
        name: of the set, in tables.
        path: a picture, a folder (the PNG, JPEG and TIFF files below it, in the order of their paths), or a
            list of them.
        skimage: names of photographs that come with scikit-image.
        deepinv: name of a data set of deepinv, which is downloaded into deepinv's cache if it is missing.
        limit: maximum number of pictures; the first ones are used. Default: all.
        crop: side in pixels of a centred square crop. Default: the whole picture.
        grey: convert colour pictures to grey.
        range: the values of black and white in the files, such as [0, 4095]. Default: those of 8 or 16 bits, and 0 and
            1 for floats.
        max_pixels: refuse pictures of more pixels, see `rgmkit.images.read`.

    >>> [photograph.label for photograph in Photographs(skimage=["astronaut", "camera"], limit=1).select()]
    ['astronaut']
    """

    name: str = ""
    path: Path | list[Path] | None = None
    skimage: str | list[str] | None = None
    deepinv: str | None = None
    limit: int | None = None
    crop: int | None = None
    grey: bool = False
    range: tuple[float, float] | None = None
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        if self.range is not None:
            check_range(self.range)
        if not self._paths and not self._names and not self.deepinv:
            raise ConfigError(
                "there are no pictures: give path, a folder or files, or skimage, names of photographs, or deepinv, a "
                "data set"
            )
        if self.deepinv and self.deepinv not in DOWNLOADS:
            raise ConfigError(f"deepinv has no folder of pictures {self.deepinv!r}: {suggest(self.deepinv, DOWNLOADS)}")
        for name in self._names:
            if name not in NAMES:
                raise ConfigError(f"skimage has no photograph {name!r} here: {suggest(name, NAMES)}")
        for key in ("limit", "crop", "max_pixels"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"{key} is {value}: give 1 or more")

    def sources(self) -> list[str]:
        """List the sources of all pictures, whatever the limit: absolute paths, and names prefixed by "skimage:".

        Raises:
            DataError: if a folder holds no picture, or a data set cannot be downloaded.
            ConfigError: if a picture is named twice.
        """
        paths = [*self._paths, *([_download(self.deepinv)] if self.deepinv else [])]
        found = [str(file) for path in paths for file in _files(path)] + [BUNDLED + n for n in self._names]
        twice = next((source for source in found if found.count(source) > 1), None)
        if twice:
            raise ConfigError(f"{twice} is named twice: name each picture once")
        return found

    def select(self, sources: Sequence[str] | None = None) -> list[Photograph]:
        """Return the photographs with these sources. Default: the first `limit` of all.

        The label of a file is the name of the set, if any, and its path relative to the deepest folder that contains
        all files.
        """
        chosen = self.sources()[: self.limit] if sources is None else list(sources)
        files = [source for source in chosen if not source.startswith(BUNDLED)]
        for file in files:
            check_name(Path(file))
        above = os.path.commonpath([os.path.dirname(file) for file in files]) if files else ""
        labels = [s.removeprefix(BUNDLED) if s not in files else Path(s).relative_to(above).as_posix() for s in chosen]
        prefix = f"{self.name}/" if self.name else ""
        options = (self.crop, self.grey, self.range, self.name, self.max_pixels)
        return [Photograph(s, prefix + label, *options) for s, label in zip(chosen, labels, strict=True)]

    @property
    def _paths(self) -> list[Path]:
        return self.path if isinstance(self.path, list) else [] if self.path is None else [self.path]

    @property
    def _names(self) -> list[str]:
        return [self.skimage] if isinstance(self.skimage, str) else self.skimage or []


def crop_to_fit(x: Tensor, degradation: Degradation) -> Tensor:
    """Crop a picture from its top left corner to a size that the degradation accepts, such as even sides."""
    height, width = degradation.usable_shape(tuple(x.shape))[-2:]
    return x[..., :height, :width].contiguous()


def _download(name: str) -> Path:
    """Return the folder of a data set of deepinv, after downloading it if it is missing."""
    from deepinv import datasets

    try:
        return Path(getattr(datasets, name)(download=True, verbose=False).img_dir)
    except Exception as error:  # of the network, the archive, or its content
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise DataError(
            f"deepinv.{name} cannot be downloaded: give its pictures by path, a folder ({reason})"
        ) from error


def _files(path: Path) -> list[Path]:
    """Return absolute paths: of the pictures below a folder, or of the file itself, even if it is missing."""
    whole = Path(os.path.abspath(path))
    if not os.path.isdir(whole):
        return [whole]
    inside = (file.relative_to(whole) for file in whole.rglob("*") if is_picture_file(file))
    found = [part for part in inside if not any(name.startswith(".") for name in part.parts)]
    if not found:
        raise DataError(f"{path} holds no pictures, nor do its subfolders: put {PICTURE_NAMES} files there")
    return [whole / part for part in sorted(found, key=Path.as_posix)]


def _bundled(source: str) -> Tensor:
    import skimage.data

    array = getattr(skimage.data, source.removeprefix(BUNDLED))()
    x = torch.from_numpy(array).float() / 255
    return x[None, None] if x.ndim == 2 else x.movedim(-1, 0)[None]


def _header(source: str) -> tuple[int, int, int] | None:
    """Read (C, H, W) from the header of a picture; return None if the whole file has to be read."""
    if explain_unreadable(Path(source)):
        return None
    try:
        with Image.open(source) as image:
            width, height = image.size
            if image.format not in PLAIN or (image.format == "PNG" and "exif" in image.info):
                return None
            if image.format == "JPEG" and (read_orientation(image)[0] or 1) >= SIDEWAYS:
                width, height = height, width
            channels = CHANNELS.get(image.mode)
    except Exception:  # `read` reports the problem
        return None
    return None if channels is None else (channels, height, width)
