"""Data sets of torchvision and Hugging Face, by name."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rgmkit.core.bounds import Count
from rgmkit.errors import ConfigError, DataError, describe_error, naming
from rgmkit.images import decode
from rgmkit.images.codecs import pillow
from rgmkit.images.limits import check_pixels, choose_limit
from rgmkit.runtime.extras import require
from rgmkit.training.data.base import Flip
from rgmkit.training.data.pictures import Channels, Crop, Pictures

_DEEP = ("I", "F")  # modes of Pillow with more than 8 bits


class _Items(Pictures):
    """Pictures that a library provides as PIL images."""

    items: Any
    title: str

    def __len__(self) -> int:
        return len(self.items)

    def name(self, i: int) -> str:
        """Return the name of the data set and the index in it."""
        return f"picture {i} of {self.title}"

    def item(self, i: int) -> Any:
        """Return the item with index `i` of the library's data set."""
        return self.items[i]

    def picture(self, i: int) -> Tensor:
        """Decode the picture and rotate it upright."""
        try:
            image = self.item(i)
            if not isinstance(image, Image.Image):
                raise DataError(f"{self.name(i)} is a {type(image).__name__}: take a data set of PIL images")
            with naming(self.name(i)):
                check_pixels(choose_limit(self.max_pixels), *image.size)
            orientation, _ = pillow.read_orientation(image)
            if image.mode.startswith(_DEEP):
                return self._decode_deep(image, i)
            array = np.array(image.convert("RGB" if self.channels == "rgb" else "L"))
            array = np.ascontiguousarray(pillow.turn_upright(array, orientation))
        except DataError:
            raise
        except Exception as error:  # whatever a decoder raises for broken data
            raise DataError(f"{self.name(i)} cannot be decoded: {describe_error(error)}") from error
        return torch.from_numpy(array).float().div(255).reshape(*array.shape[:2], -1).movedim(-1, 0)

    def _decode_deep(self, image: Image.Image, i: int) -> Tensor:
        """Decode a grey picture of 16 bits or floats, which Pillow would clip at 255 on converting it to 8 bits."""
        file = io.BytesIO()
        image.save(file, "TIFF")
        return decode(file.getvalue(), name=self.name(i), max_pixels=self.max_pixels).x[0]


@final
class Torchvision(_Items):
    """Square crops of the pictures of a data set of torchvision, (C, size, size) in [0, 1]; without labels.

    Args:
        name: name of a class in torchvision.datasets, such as CIFAR10 or CelebA.
        root: the folder of its files.
        options: further arguments of its constructor, such as {split: train} or {train: true}.
        download: download missing files, where torchvision can.
        size, channels, crop, flip, max_pixels: of the crops, see `Pictures`.

    Raises:
        ConfigError: for an unknown name or option.
        DataError: if the files are missing or damaged.

    >>> fake = Torchvision(name="FakeData", options={"size": 9, "image_size": [3, 20, 24]}, size=16)
    >>> len(fake), fake.batch(4, seed=0, step=0).shape
    (9, torch.Size([4, 3, 16, 16]))
    """

    def __init__(
        self,
        *,
        name: str,
        root: Path | None = None,
        options: Mapping[str, Any] | None = None,
        download: bool = False,
        size: Count,
        channels: Channels = "rgb",
        crop: Crop = "centre",
        flip: Flip = False,
        max_pixels: Count | None = None,
    ) -> None:
        super().__init__(size=size, channels=channels, crop=crop, flip=flip, max_pixels=max_pixels)
        from torchvision import datasets

        if name not in datasets.__all__:
            raise ConfigError(f"name is {name!r}: give a class of torchvision.datasets, such as CIFAR10")
        given = {"root": root, "download": download or None}
        arguments = {key: value for key, value in given.items() if value is not None} | dict(options or {})
        self.title = f"torchvision.datasets.{name}"
        try:
            self.items = getattr(datasets, name)(**arguments)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self.title} does not take {arguments}: {describe_error(error)}") from error
        except (RuntimeError, OSError) as error:
            raise DataError(
                f"{self.title} cannot be read ({describe_error(error)}): check root, or set download"
            ) from error
        if not len(self.items):
            raise DataError(f"{self.title} holds no pictures")
        if isinstance(self.items, datasets.ImageFolder) and "loader" not in arguments:
            self.items.loader = self._open  # its own loader clips 16 bits at 255

    def _open(self, path: str) -> Image.Image:
        with naming(path):
            return pillow.open_picture(Path(path).read_bytes(), choose_limit(self.max_pixels))

    def item(self, i: int) -> Any:
        """Return the image, without its label."""
        item = self.items[i]
        return item[0] if isinstance(item, tuple) else item


@final
class HuggingFace(_Items):
    """Square crops of the pictures of a data set of Hugging Face, (C, size, size) in [0, 1]; needs `rgmkit[data]`.

    Args:
        name: the first argument of `datasets.load_dataset`: a name on the hub, or imagefolder, parquet … with options.
        split: part of the data set.
        column: the column of the pictures.
        options: further arguments of load_dataset, such as {data_dir: pictures}; {revision: COMMIT} pins a data set of
            the hub, whose name alone may mean other pictures tomorrow. Code in a data set is not run.
        size, channels, crop, flip, max_pixels: of the crops, see `Pictures`.

    Raises:
        ConfigError: if the package `datasets` is missing, or there is no such column.
        DataError: if the data set cannot be found or read.
    """

    def __init__(
        self,
        *,
        name: str,
        split: str = "train",
        column: str = "image",
        options: Mapping[str, Any] | None = None,
        size: Count,
        channels: Channels = "rgb",
        crop: Crop = "centre",
        flip: Flip = False,
        max_pixels: Count | None = None,
    ) -> None:
        super().__init__(size=size, channels=channels, crop=crop, flip=flip, max_pixels=max_pixels)
        require("datasets", "the data huggingface")
        import datasets

        if (options or {}).get("trust_remote_code"):
            raise ConfigError(f"options.trust_remote_code is given for {name}: code in a data set is not run")
        self.title, self.column = f"{name} ({split})", column
        try:
            self.items = datasets.load_dataset(name, split=split, **(options or {}))
        except Exception as error:  # the library raises errors of a dozen kinds
            raise DataError(f"the data set {self.title} cannot be read: {describe_error(error)}") from error
        commit = find_commit(getattr(self.items, "info", None))
        if commit and "revision" not in (options or {}):
            warnings.warn(f"{name} is not pinned: add options: {{revision: {commit}}}", stacklevel=2)
        if column not in self.items.features:
            raise ConfigError(f"{self.title} has no column {column!r}: give one of {', '.join(self.items.features)}")

    def item(self, i: int) -> Any:
        """Return the picture in a row of the table."""
        return self.items[i][self.column]


def find_commit(info: Any) -> str | None:
    """Find the commit of a data set of the hub in the addresses of its files; None for one of this machine."""
    addresses = " ".join(getattr(info, "download_checksums", None) or ())
    found = re.search(r"hf://datasets/[^@ ]+@([0-9a-f]{40})/", addresses)
    return found[1] if found else None
