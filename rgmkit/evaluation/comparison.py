"""Compare images with the real ones by their features; the features of the real ones are kept between runs."""

from __future__ import annotations

import contextlib
import hashlib
import math
import warnings
from collections.abc import Iterable, Iterator
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor, nn

from rgmkit.config import build
from rgmkit.core.features import Comparison, Features
from rgmkit.core.random import seeded
from rgmkit.errors import DataError
from rgmkit.evaluation.data import CHUNK, RealImages
from rgmkit.evaluation.result import RELATIVE, Row, average
from rgmkit.runtime.cache import cache_folder
from rgmkit.runtime.files import write_aside
from rgmkit.runtime.modules import evaluation_mode, to_device
from rgmkit.runtime.progress import show_progress

COMPARISONS = ("frechet", "kernel", "precision-recall", "density-coverage")
LEAST = 10  # images with which all metrics can be computed
SPLITS = 5  # of the real images in two, for the distance of real images


class Comparer:
    """Compare images with real ones.

    Args:
        real: the real images.
        features: by which they are compared; None for points, which are compared by their coordinates.
        device: on which the features are computed.
        count: how many images are generated.
        progress: whether to show progress bars.
    """

    def __init__(
        self, real: RealImages, features: Features | None, device: torch.device | None, *, count: int, progress: bool
    ) -> None:
        self.data = real.data
        self._device = device or torch.device("cpu")
        self._features = None if features is None else to_device(features, self._device)
        self._comparisons: list[Comparison] = [build("comparison", name) for name in COMPARISONS]
        self._names = {} if features is None else features.metric_names
        self._real = self._read_features(real, progress=progress)
        self._between_real = average([self._compare(*sets) for sets in self._split(count)])
        self._unit = self._between_real[self._name(self._comparisons[0].names[0])]

    @torch.no_grad()
    def features_of(self, images: Tensor) -> Tensor:
        """Return the features of images, (n, d), on the CPU."""
        if self._features is None:
            return images.cpu()
        with evaluation_mode(self._features):
            parts = [self._features.of(part.to(self._device)).float().cpu() for part in images.split(CHUNK)]
        return torch.cat(parts)

    def compare(self, features: Tensor) -> dict[str, float]:
        """Return all metrics of images, given their features."""
        found = self._compare(features, self._real)
        return {**found, RELATIVE: found[next(iter(found))] / self._unit if self._unit else math.nan}

    def score(self, images: Tensor) -> dict[str, float]:
        """Return the metrics that the data source itself defines, if it does."""
        if not self.scores:
            return {}
        return {name: float(value) for name, value in self.data.score(images.cpu()).items()}

    @property
    def scores(self) -> bool:
        """Whether the data source defines metrics."""
        return self.data.has_score

    def between_images(self, images: Tensor) -> list[Row]:
        """Compare other real images with the real ones; no rows of fewer images than the metrics need."""
        if len(images) < LEAST:
            return []
        return [Row("other real images", 0, self.compare(self.features_of(images)), self.score(images))]

    def between_real(self) -> Row:
        """Compare random sets of real images with the others: what a perfect model would reach."""
        return Row("random sets of the real images", None, {**self._between_real, RELATIVE: 1.0})

    def _compare(self, generated: Tensor, real: Tensor) -> dict[str, float]:
        found: dict[str, float] = {}
        for comparison in self._comparisons:
            found |= zip(map(self._name, comparison.names), comparison(generated, real), strict=True)
        return found

    def _name(self, name: str) -> str:
        return self._names.get(name, name)

    def _split(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Split off `count` real images, at most half, since the distance depends on the number of images."""
        size = min(count, math.ceil(len(self._real) / 2))
        for i in range(SPLITS):
            order = torch.randperm(len(self._real), generator=seeded(i))
            yield self._real[order[:size]], self._real[order[size:]]

    def _read_features(self, real: RealImages, *, progress: bool) -> Tensor:
        """Return the features of the real images, from the cache if they are there."""
        if self._features is None:
            return torch.cat([*real.chunks()])
        file = cache_folder() / "features" / f"{hash_content(self._features, real.chunks())}.npy"
        with contextlib.suppress(OSError, ValueError, EOFError):  # of a file that is missing or damaged
            return torch.from_numpy(np.load(file, allow_pickle=False))
        with show_progress("features of the real images", shown=progress) as callback:
            parts = []
            for chunk in real.chunks():
                parts.append(self.features_of(chunk))
                callback(sum(map(len, parts)), real.reference, chunk)
        found = torch.cat(parts)
        try:
            with write_aside(file) as part, part.open("wb") as opened:
                np.save(opened, found.numpy())
        except DataError as error:
            warnings.warn(f"the features of the real images will be computed again: {error}", stacklevel=2)
        return found


def hash_content(features: Features, images: Iterable[Tensor]) -> str:
    """Hash images and all that their features depend on: the class, its plain attributes, and its weights."""
    plain = {name: value for name, value in vars(features).items() if isinstance(value, (int, float, str, tuple))}
    plain.pop("training", None)
    kind = f"{type(features).__module__}.{type(features).__qualname__}"
    layers = nn.Module.__repr__(features)
    content = hashlib.sha256(f"{version('rgmkit')} {kind} {layers} {sorted(plain.items())}".encode())
    for tensor in (*features.state_dict().values(), *images):
        content.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        content.update(tensor.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()
