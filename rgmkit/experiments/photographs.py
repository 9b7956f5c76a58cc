"""The pictures of a grid: files, folders, and photographs that come with scikit-image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

from rgmkit.core.degradation import Degradation
from rgmkit.errors import ConfigError, DataError, suggest
from rgmkit.images import read
from rgmkit.images.formats import PICTURE_NAMES, is_picture_file

NAMES = (
    "astronaut", "brick", "camera", "cell", "chelsea", "clock", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip
"""Photographs in scikit-image's own package: none is fetched from elsewhere."""

BUNDLED = "skimage:"  # before the name of such a photograph, where files have their paths
CHANNELS = {"1": 1, "L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "CMYK": 3, "YCbCr": 3}  # of Pillow's modes
PLAIN = ("JPEG", "PNG")  # whose headers say enough
ORIENTATION, SIDEWAYS = 0x0112, 5  # the EXIF tag, and the first of its values that turn a picture on its side


@dataclass(frozen=True)
class Photograph:
    """One picture: where it is, what it is called, and what is taken of it.

    Attributes:
        source: the path of a file, or "skimage:" and a name.
        label: as tables and reports show it.
        crop: side of the centred square that is taken; None for all.
        grey: whether it is made grey (luma of ITU-R BT.601).
    """

    source: str
    label: str
    crop: int | None = None
    grey: bool = False

    def read(self) -> Tensor:
        """The picture, (1, C, H, W) in [0, 1]; an alpha channel is left out.

        Raises:
            DataError: if it cannot be read, has values outside [0, 1] or is smaller than the crop.
        """
        x = _bundled(self.source) if self.source.startswith(BUNDLED) else read(self.source).x
        low, high = float(x.min()), float(x.max())
        if low < 0 or high > 1:
            raise DataError(f"{self.source} has values from {low:g} to {high:g}: bring them to [0, 1]")
        _, _, height, width = x.shape
        shape = self._taken(x.shape[1], height, width)
        if shape[0] != x.shape[1]:
            x = rgb_to_grayscale(x)
        top, left = (height - shape[1]) // 2, (width - shape[2]) // 2
        return x[..., top : top + shape[1], left : left + shape[2]].contiguous()

    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what `read` gives, from the header of the file where that is enough.

        Raises:
            DataError: as `read`.
        """
        return self._taken(*(_header(self.source) or tuple(self._whole().shape[1:])))

    def _whole(self) -> Tensor:
        return Photograph(self.source, self.label).read()

    def _taken(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        side = self.crop
        if side is not None and min(height, width) < side:
            raise DataError(
                f"crop is {side}, and {self.source} has {height}x{width} pixels (height x width): "
                f"give {min(height, width)} or less"
            )
        return (1 if self.grey else channels), side or height, side or width


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """The `data:` of a grid.

    Args:
        path: a picture, a folder (the PNG, JPEG and TIFF files below it, in the order of their paths), or a
            list of them.
        skimage: names of photographs that come with scikit-image.
        limit: how many pictures are taken, the first ones. Default: all.
        crop: side in pixels of the centred square that is taken. Default: the whole picture.
        grey: make colour pictures grey.

    >>> [photograph.label for photograph in Photographs(skimage=["astronaut", "camera"], limit=1).taken()]
    ['astronaut']
    """

    path: Path | list[Path] | None = None
    skimage: str | list[str] | None = None
    limit: int | None = None
    crop: int | None = None
    grey: bool = False

    def __post_init__(self) -> None:
        if not self._paths and not self._names:
            raise ConfigError("there are no pictures: give path, a folder or files, or skimage, names of photographs")
        for name in self._names:
            if name not in NAMES:
                raise ConfigError(f"skimage has no photograph {name!r} here: {suggest(name, NAMES)}")
        for key in ("limit", "crop"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"{key} is {value}: give 1 or more")

    def sources(self) -> list[str]:
        """All pictures, before the limit: paths in full, and names with "skimage:" before them.

        Raises:
            DataError: if a folder holds no picture.
            ConfigError: if a picture is named twice.
        """
        found = [str(file) for path in self._paths for file in _files(path)] + [BUNDLED + n for n in self._names]
        twice = next((source for source in found if found.count(source) > 1), None)
        if twice:
            raise ConfigError(f"{twice} is named twice: name each picture once")
        return found

    def taken(self, sources: Sequence[str] | None = None) -> list[Photograph]:
        """The photographs of these sources. Default: the first `limit` of all.

        Files are called by their paths below the folder that holds all of them.
        """
        chosen = self.sources()[: self.limit] if sources is None else list(sources)
        files = [source for source in chosen if not source.startswith(BUNDLED)]
        above = os.path.commonpath([os.path.dirname(file) for file in files]) if files else ""
        labels = [s.removeprefix(BUNDLED) if s not in files else Path(s).relative_to(above).as_posix() for s in chosen]
        return [Photograph(s, label, self.crop, self.grey) for s, label in zip(chosen, labels, strict=True)]

    @property
    def _paths(self) -> list[Path]:
        return self.path if isinstance(self.path, list) else [] if self.path is None else [self.path]

    @property
    def _names(self) -> list[str]:
        return [self.skimage] if isinstance(self.skimage, str) else self.skimage or []


def crop_to_fit(x: Tensor, degradation: Degradation) -> Tensor:
    """Crop a picture to its top left part that the degradation can take: downsampling by 2 takes even sides."""
    height, width = degradation.usable_shape(tuple(x.shape))[-2:]
    return x[..., :height, :width].contiguous()


def _files(path: Path) -> list[Path]:
    """The file itself, whether it is there or not, or the pictures below a folder; paths in full."""
    whole = Path(os.path.abspath(path))
    if not whole.is_dir():
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
    """(C, H, W) of a picture as its header says it; None where the whole has to be read for that."""
    try:
        with Image.open(source) as image:
            width, height = image.size
            if image.format not in PLAIN or (image.format == "PNG" and "exif" in image.info):
                return None
            if image.format == "JPEG" and image.getexif().get(ORIENTATION, 1) >= SIDEWAYS:
                width, height = height, width
            channels = CHANNELS.get(image.mode)
    except Exception:  # whatever it stumbles over, `read` says in words
        return None
    return None if channels is None else (channels, height, width)
