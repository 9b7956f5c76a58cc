"""The real images that generated ones are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rgmkit.config import build
from rgmkit.errors import ConfigError, DataError
from rgmkit.training.data.base import Data

CHUNK = 250  # images read at a time


def resolve_data(given: str | Path | Data, shape: tuple[int, ...] | None) -> Data:
    """Return a data source: of a folder, archive or array, with crops of `shape`; of a spec; or the object itself.

    Raises:
        ConfigError, PluginError, DataError: if there is none, or it cannot be read.
    """
    if isinstance(given, Data):
        return given
    path = Path(given)
    if path.is_dir() or path.is_file():
        if path.suffix in (".npz", ".npy"):
            return _build({"use": "npz", "path": str(path)})
        if shape is None or len(shape) != 3:
            raise ConfigError(f"{path} holds images, of a size that the model does not say: give folder:path=…,size=64")
        kind, channels = ("folder" if path.is_dir() else "archive"), ("grey" if shape[0] == 1 else "rgb")
        return _build({"use": kind, "path": str(path), "size": min(shape[1:]), "channels": channels})
    if ":" not in str(given) and ("/" in str(given) or path.suffix):
        raise DataError(
            f"{given} does not exist: give a folder of pictures, an archive, or a data source, such as digits"
        )
    return _build(str(given))


def _build(spec: str | dict[str, Any]) -> Data:
    data: Data = build("data", spec)
    return data


class RealImages:
    """The images to compare with, in a fixed random order, and others to start from.

    Args:
        data: their source.
        reference: how many to compare with, at most.
        others: how many to start from; if the source has too few, some of them are also compared with.
    """

    def __init__(self, data: Data, reference: int, others: int) -> None:
        self.data = data
        available = reference + others if data.count is None else data.count
        self.reference = min(reference, available)
        self.total = min(available, self.reference + others)
        self.overlaps = self.total < self.reference + others

    def chunks(self) -> Iterator[Tensor]:
        """Read the images to compare with, some at a time; the same ones whatever `others`."""
        for rows in torch.arange(self.total - self.reference, self.total).split(CHUNK):
            yield self._read(rows)

    def starts(self, count: int) -> Tensor:
        """Read up to `count` images to start from or to restore."""
        return torch.cat([self._read(rows) for rows in torch.arange(min(count, self.total)).split(CHUNK)])

    def _read(self, rows: Tensor) -> Tensor:
        return self.data.part(rows.tolist(), self.total, seed=0, step=-1)
