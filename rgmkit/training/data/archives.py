"""Data in tar archives: one archive with random access, or many shards that are read in sequence."""

from __future__ import annotations

import bisect
import itertools
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, final

import torch
from torch import Tensor

from rgmkit.core.bounds import Count
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError, DataError
from rgmkit.training.data.base import Flip
from rgmkit.training.data.pictures import Channels, Crop, PictureFiles, Section
from rgmkit.training.data.tar import Tar, warn_left_out

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
LARGE_FILE = 2**26  # bytes of a picture that are not read for its size
_SHARDS, _WITHIN = 4, 5  # so that these streams differ from those in base.py


@final
class Archive(PictureFiles):
    """Square crops of the pictures in a tar archive, (C, size, size) in [0, 1], as `Folder` gives for the same files.

    The archive is read in place and may be larger than the memory; a compressed one (.gz, .bz2, .xz) is decompressed
    into a temporary file first.

    Args:
        path: the archive.
        size, channels, crop, flip, max_pixels: of the crops, see `Pictures`.

    Raises:
        DataError: for a file that is missing, truncated, not a tar archive or without pictures; for the pictures in it,
            as `Folder`.
    """

    def __init__(
        self,
        *,
        path: Path,
        size: Count,
        channels: Channels = "rgb",
        crop: Crop = "centre",
        flip: Flip = False,
        max_pixels: Count | None = None,
    ) -> None:
        super().__init__(size=size, channels=channels, crop=crop, flip=flip, max_pixels=max_pixels)
        self.tar = Tar(path)
        warn_left_out([self.tar])
        # By name, as in a folder: the order within an archive depends on who made it.
        self._order_of_names = sorted(range(len(self.tar)), key=self.tar.inside)
        self.check_sizes()

    def __len__(self) -> int:
        return len(self.tar)

    def name(self, i: int) -> str:
        """Return the path of the archive and the name in it."""
        return self.tar.name(self._order_of_names[i])

    def open(self, i: int) -> BinaryIO:
        """Open the picture."""
        return self.tar.open(self._order_of_names[i])

    def section(self, i: int) -> AbstractContextManager[Section]:
        """Open the archive at the picture."""
        return self.tar.section(self._order_of_names[i])

    def _size(self, i: int) -> tuple[int, int]:
        giant = self._find_giant(i) if self.tar.size(self._order_of_names[i]) > LARGE_FILE else None
        return giant or super()._size(i)


@final
class Shards(PictureFiles):
    """Square crops of the pictures in many tar archives, such as those of webdataset, (C, size, size) in [0, 1].

    For data larger than the memory. An epoch takes the shards one after the other in random order and shuffles the
    pictures within a window, so that they are read nearly in the order in which they are stored. Sizes are checked only
    when pictures are read.

    Args:
        path: the shards: "train-{000..099}.tar", "train-*.tar", or one archive.
        ending: ending of the pictures if a sample has several files: "jpg", "input.png". Default: all picture formats.
        window: number of pictures that are shuffled together: some thousands, more if neighbours are similar.
        size, channels, crop, flip, max_pixels: of the crops, see `Pictures`.

    Raises:
        DataError: if there are no such shards, or one cannot be read; for its pictures, as `Folder`.
    """

    def __init__(
        self,
        *,
        path: Path,
        ending: str | None = None,
        window: Count = 10_000,
        size: Count,
        channels: Channels = "rgb",
        crop: Crop = "centre",
        flip: Flip = False,
        max_pixels: Count | None = None,
    ) -> None:
        super().__init__(size=size, channels=channels, crop=crop, flip=flip, max_pixels=max_pixels)
        if window < 1:
            raise ConfigError(f"window is {window}: give a number of pictures, 1 or more")
        self.window = window
        self.tars = [Tar(shard, ending=ending) for shard in _expand(path)]
        warn_left_out(self.tars)
        self._firsts = [0, *itertools.accumulate(len(tar) for tar in self.tars)]

    def __len__(self) -> int:
        return self._firsts[-1]

    def name(self, i: int) -> str:
        """Return the path of the shard and the name in it."""
        tar, index = self._find(i)
        return tar.name(index)

    def open(self, i: int) -> BinaryIO:
        """Open the picture."""
        tar, index = self._find(i)
        return tar.open(index)

    def section(self, i: int) -> AbstractContextManager[Section]:
        """Open the shard at the picture."""
        tar, index = self._find(i)
        return tar.section(index)

    def order(self, seed: int, epoch: int) -> Tensor:
        """Return the shards in random order, their pictures shuffled window by window."""
        shards = torch.randperm(len(self.tars), generator=seeded(seed, epoch, _SHARDS)).tolist()
        places = torch.cat([torch.arange(self._firsts[shard], self._firsts[shard + 1]) for shard in shards])
        chance = torch.rand(len(places), dtype=torch.float64, generator=seeded(seed, epoch, _WITHIN))
        return places[(torch.arange(len(places)) // self.window + chance).argsort()]

    def _find(self, i: int) -> tuple[Tar, int]:
        shard = bisect.bisect_right(self._firsts, i) - 1
        return self.tars[shard], i - self._firsts[shard]


def _expand(path: Path) -> list[Path]:
    """List the shards that match a pattern, sorted by name."""
    if ":/" in path.as_posix():
        raise DataError(f"{path} is not on this machine: download the shards first, and give their path")
    ranges = _RANGE.findall(str(path))
    names = []
    for numbers in itertools.product(*(range(int(first), int(last) + 1) for first, last in ranges)):
        texts = (f"{number:0{len(first)}}" for number, (first, _) in zip(numbers, ranges, strict=True))
        names.append(Path(_RANGE.sub(lambda _, texts=texts: next(texts), str(path))))  # type: ignore[misc]
    found = [shard for name in names for shard in (sorted(name.parent.glob(name.name)) if "*" in name.name else [name])]
    if not found:
        raise DataError(f"{path} fits no file: give shards such as train-{{000..099}}.tar or train-*.tar")
    return found
