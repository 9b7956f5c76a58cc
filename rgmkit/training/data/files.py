"""Data in files of your own: a folder of pictures, or an array."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

from rgmkit.errors import ConfigError, DataError
from rgmkit.images import read
from rgmkit.layout import quantised, unpack
from rgmkit.training.data.base import FiniteData

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
MEMORY = 2**30  # bytes of decoded pictures that are kept
MOST_BROKEN = 0.01  # of the pictures of a folder


@final
class Folder(FiniteData):
    """Square crops of the pictures below a folder, (C, size, size) in [0, 1].

    The pictures are the PNG, JPEG and TIFF files, in the order of their paths within the folder; names that begin
    with a dot are left out. Each is decoded when it is first needed, and kept in 8 bits a value until 1 GiB is
    full; alpha channels are ignored. A broken one is skipped: the next whole one takes its place.

    Args:
        path: the folder.
        size: side of a crop, in pixels. Pictures are cropped, never resized.
        channels: "rgb" or "grey"; pictures of the other kind are converted (luma of ITU-R BT.601).
        crop: "centre", or "random": another place at each draw.
        flip: mirror each image left to right with probability 1/2.

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
        size: int,
        channels: Literal["grey", "rgb"] = "rgb",
        crop: Literal["centre", "random"] = "centre",
        flip: bool = False,
    ) -> None:
        super().__init__(flip=flip)
        if size < 1:
            raise ConfigError(f"size is {size}: give the side of a crop in pixels, 1 or more")
        self.path, self.size, self.crop, self.channels = path, size, crop, channels
        self.shape = (3 if channels == "rgb" else 1, size, size)
        self.files = _pictures(path)
        self._kept: dict[int, Tensor] = {}
        self._room = MEMORY
        self._broken: set[Path] = set()
        self._check_sizes()

    def __len__(self) -> int:
        return len(self.files)

    def take(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Crops of the pictures at these places, (n, C, size, size); `generator` says where they are cropped."""
        corners = torch.rand(len(indices), 2, generator=generator).tolist()
        crops = [self._cropped(self._picture(i), *corner) for i, corner in zip(indices.tolist(), corners, strict=True)]
        return torch.stack(crops).float() / 255

    def _cropped(self, image: Tensor, down: float, right: float) -> Tensor:
        """A crop whose corner is at these shares of the room that there is; centred crops are made already."""
        top, left = int(down * (image.shape[1] - self.size + 1)), int(right * (image.shape[2] - self.size + 1))
        return image[:, top : top + self.size, left : left + self.size]

    def _picture(self, i: int) -> Tensor:
        """The picture at place `i`, or the next one that is not broken: uint8 (C, H, W)."""
        while i not in self._kept:
            if self.files[i] not in self._broken:
                try:
                    x = read(self.files[i]).x[0]
                except DataError as error:
                    self._skip(self.files[i], error)
                else:
                    return self._keep(i, self._fitted(x, self.files[i]))
            i = (i + 1) % len(self)
        return self._kept[i]

    def _keep(self, i: int, image: Tensor) -> Tensor:
        if image.numel() <= self._room:
            self._kept[i] = image
            self._room -= image.numel()
        return image

    def _fitted(self, x: Tensor, file: Path) -> Tensor:
        if x.min() < 0 or x.max() > 1:
            raise DataError(_outside(f"{file}", float(x.min()), float(x.max())))
        if len(x) != self.shape[0]:
            x = x.expand(3, -1, -1) if len(x) == 1 else rgb_to_grayscale(x)
        if self.crop == "centre":
            top, left = (x.shape[1] - self.size) // 2, (x.shape[2] - self.size) // 2
            x = x[:, top : top + self.size, left : left + self.size]
        return quantised(x, torch.uint8)

    def _check_sizes(self) -> None:
        """Look at every header, so that a picture that does not fit is found before the training begins."""
        sizes: dict[Path, tuple[int, int]] = {}
        for file in self.files:
            try:
                sizes[file] = _size(file)
            except DataError as error:
                self._skip(file, error)
        smallest = min(sizes, key=lambda file: min(sizes[file]))
        width, height = sizes[smallest]
        if min(width, height) < self.size:
            small = sum(min(size) < self.size for size in sizes.values())
            raise DataError(
                f"pictures smaller than the crop of size {self.size}: {small} of {len(self)}, the smallest {smallest} "
                f"with {width}x{height} pixels; give size {min(width, height)} or less, or enlarge or remove them"
            )

    def _skip(self, file: Path, error: DataError) -> None:
        """Count a broken picture; raise a DataError if there are too many now."""
        first = not self._broken
        self._broken.add(file)
        if len(self._broken) > MOST_BROKEN * len(self.files):
            raise DataError(
                f"{self.path}: {len(self._broken)} of {len(self.files)} pictures are broken, more than "
                f"{MOST_BROKEN:.0%}: repair or remove them; the last: {error}"
            ) from error
        if first:
            warnings.warn(f"broken pictures are skipped, up to {MOST_BROKEN:.0%} of them: {error}", stacklevel=2)


def _pictures(folder: Path) -> list[Path]:
    """The pictures below `folder`, in the order of their paths within it."""
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {problem}: give a folder of pictures (a path in a YAML is relative to its folder)")
    found = {}
    for file in folder.rglob("*"):
        inside = file.relative_to(folder)
        if file.suffix.lower() in ENDINGS and not any(part.startswith(".") for part in inside.parts) and file.is_file():
            found[inside.as_posix()] = file
    if not found:
        raise DataError(f"{folder} holds no pictures, nor do its subfolders: put PNG, JPEG or TIFF files there")
    return [found[name] for name in sorted(found)]


def _size(file: Path) -> tuple[int, int]:
    """Width and height, from the header; what Pillow does not know is read whole."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                return image.size
    except Exception:  # whatever it stumbles over, `read` says in words
        height, width = read(file).x.shape[-2:]
        return width, height


@final
class Arrays(FiniteData):
    """Images in an .npz or .npy file: (N, H, W) or (N, H, W, C) with C = 1 or 3; uint8, uint16 or floats in [0, 1].

    Nothing is unpickled. An .npy file stays on the disk and is read batch by batch, an .npz file is read whole.

    Args:
        path: the file.
        key: name of the array in an .npz file.
        flip: mirror each image left to right with probability 1/2.

    Raises:
        DataError: for a file that is missing or cannot be read, a key that it has not, or another array.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "noise.npz"
    >>> np.savez(file, images=np.zeros((7, 12, 8, 3), np.uint8))
    >>> data = Arrays(path=file)
    >>> len(data), data.batch(2, seed=0, step=0).shape
    (7, torch.Size([2, 3, 12, 8]))
    """

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
        """The images at these places, (n, C, H, W); nothing is drawn."""
        x, _ = unpack(np.asarray(self.images[indices.numpy()]), name=self.name)
        return x.float()


def _array(path: Path, key: str) -> np.ndarray:
    if not path.is_file():
        problem = "is a folder" if path.exists() else "does not exist"
        raise DataError(f"{path} {problem}: give an .npz or .npy file (a path in a YAML is relative to its folder)")
    try:
        content = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(content, np.ndarray):
            return content
        with content:
            names: list[str] = content.files
            if key in names:
                return np.asarray(content[key])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as .npz or .npy: it is cut off, something else, or holds Python objects, which "
            f"are never unpickled; save uint8 images with numpy.savez"
        ) from error
    raise DataError(f"{path} has no array {key!r}: give as key one of {', '.join(names) or 'none that it has'}")


def _check(images: np.ndarray, name: str) -> None:
    """Raise a DataError unless these are images."""
    if images.ndim not in (3, 4) or 0 in images.shape or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        hint = "; channels come last: transpose(0, 2, 3, 1)" if images.ndim == 4 and images.shape[1] in (1, 3) else ""
        raise DataError(f"{name} has shape {images.shape}: save (N, H, W) or (N, H, W, C) with C = 1 or 3{hint}")
    if images.dtype.kind == "f" and images.dtype.itemsize <= 8:
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise DataError(_outside(name, low, high))
    elif images.dtype.name not in ("uint8", "uint16"):
        raise DataError(f"{name} holds {images.dtype}: save uint8, uint16 or floats in [0, 1]")


def _outside(name: str, low: float, high: float) -> str:
    return f"{name} holds values from {low:g} to {high:g}: scale them to [0, 1], and save no NaN"
