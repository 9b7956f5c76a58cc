"""Data in your own files: a folder of pictures, or an array."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.bounds import Count
from rgmkit.errors import DataError, naming
from rgmkit.images import read
from rgmkit.images.array_layout import unpack
from rgmkit.images.formats import PICTURE_NAMES, check_source, is_picture_file
from rgmkit.images.limits import check_ratio
from rgmkit.runtime.files import explain_unreadable
from rgmkit.runtime.memory import check_bytes
from rgmkit.training.data.base import FiniteData, Flip
from rgmkit.training.data.pictures import Channels, Crop, PictureFiles, Section, describe_range


@final
class Folder(PictureFiles):
    """Square crops of the pictures below a folder, (C, size, size) in [0, 1].

    The pictures are the PNG, JPEG and TIFF files, in the order of their paths within the folder. Names that begin
    with a dot are skipped; links are followed. Alpha channels are ignored.

    Args:
        path: the folder.
        size, channels, crop, flip, max_pixels: of the crops, see `Pictures`.

    Raises:
        DataError: for a missing or an empty folder, a picture smaller than the crop, floats outside [0, 1], or
            when more than 1 % of the pictures are broken.

    >>> import tempfile
    >>> from rgmkit.images import write
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a.png", "b/c.jpg"):
    ...     _ = write(folder / name, torch.rand(3, 20, 24))
    >>> Folder(path=folder, size=16, crop="random").batch(5, seed=0, step=0).shape
    torch.Size([5, 3, 16, 16])
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
        self.files = _pictures(path)
        self.check_sizes()

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        """Return the path of the file."""
        return f"{self.files[i]}"

    def picture(self, i: int) -> Tensor:
        """Read and decode the file."""
        return read(self.files[i], max_pixels=self.max_pixels).x[0]

    def open(self, i: int) -> BinaryIO:
        """Open the file."""
        check_source(self.files[i])
        return self.files[i].open("rb")

    @contextmanager
    def section(self, i: int) -> Iterator[Section]:
        """Open the file, which holds only the picture."""
        with self.open(i) as file:
            yield file, 0, os.fstat(file.fileno()).st_size


def _pictures(folder: Path) -> list[Path]:
    """List the pictures below `folder`, in the order of their paths within it."""
    if not os.path.isdir(folder):
        problem = "is a file" if os.path.exists(folder) else "does not exist"
        raise DataError(f"{folder} {problem}: give a folder of pictures (a path in a YAML is relative to its folder)")
    try:
        found = {file.relative_to(folder).as_posix(): file for file in _walk(folder) if is_picture_file(file)}
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
    if not found:
        raise DataError(f"{folder} holds no pictures, nor do its subfolders: put {PICTURE_NAMES} files there")
    return [found[name] for name in sorted(found)]


def _walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Find the files below `folder`, following links; a dangling link counts as a file that cannot be read."""
    real = folder.resolve()
    if real in above:  # a link to a folder that contains it
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), (*above, real))
            elif entry.is_file() or entry.is_symlink():
                yield Path(entry.path)


@final
class Arrays(FiniteData):
    """Images in an .npz or .npy file: (N, H, W) or (N, H, W, C) with C = 1 or 3; uint8, uint16 or floats in [0, 1].

    Nothing is unpickled. An .npy file is read batch by batch, an .npz file as a whole.

    Args:
        path: the file.
        key: name of the array in an .npz file.
        flip: mirror each image left to right with probability 1/2.

    Raises:
        DataError: for a file that is missing or cannot be read, a missing key, or an array of another kind.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "noise.npz"
    >>> np.savez(file, images=np.zeros((7, 12, 8, 3), np.uint8))
    >>> data = Arrays(path=file)
    >>> len(data), data.batch(2, seed=0, step=0).shape
    (7, torch.Size([2, 3, 12, 8]))
    """

    draws = False

    def __init__(self, *, path: Path, key: str = "images", flip: bool = False) -> None:
        super().__init__(flip=flip)
        self.name = f"{path}"
        images = _array(path, key)
        _check(images, self.name)
        self.images = images[..., None] if images.ndim == 3 else images
        _, height, width, channels = self.images.shape
        self.shape = (channels, height, width)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images with these indices, (n, C, H, W); `generator` is not used."""
        x, _ = unpack(np.asarray(self.images[indices.numpy()]), name=self.name)
        return x.float()


def _array(path: Path, key: str) -> np.ndarray:
    problem = explain_unreadable(path)
    if problem:
        raise DataError(f"{path} {problem}: give an .npz or .npy file (a path in a YAML is relative to its folder)")
    try:
        content = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(content, np.ndarray):
            return content
        with content:
            names: list[str] = content.files
            if key in names:
                _check_size(content.zip, f"{key}.npy", path)
                return np.asarray(content[key])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as .npz or .npy: it is cut off, something else, or holds Python objects, which "
            f"are never unpickled; save uint8 images with numpy.savez"
        ) from error
    raise DataError(f"{path} has no array {key!r}: give as key one of {', '.join(names) or 'none that it has'}")


def _check_size(archive: zipfile.ZipFile, member: str, path: Path) -> None:
    """Raise a DataError if an array is larger than the memory, or compressed as only a bomb is."""
    if member in archive.namelist():
        info = archive.getinfo(member)
        check_bytes(info.file_size, f"the images in {path}")
        with naming(str(path)):
            check_ratio(info.file_size, info.compress_size)


def _check(images: np.ndarray, name: str) -> None:
    """Raise a DataError unless the array holds images."""
    if images.ndim not in (3, 4) or 0 in images.shape or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        hint = "; channels come last: transpose(0, 2, 3, 1)" if images.ndim == 4 and images.shape[1] in (1, 3) else ""
        raise DataError(f"{name} has shape {images.shape}: save (N, H, W) or (N, H, W, C) with C = 1 or 3{hint}")
    if images.dtype.kind == "f" and images.dtype.itemsize <= 8:
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):  # also catches NaN
            raise DataError(describe_range(name, low, high))
    elif images.dtype.name not in ("uint8", "uint16"):
        raise DataError(f"{name} holds {images.dtype}: save uint8, uint16 or floats in [0, 1]")
