"""How realistic and how varied generated images are, by the nearest neighbours of their features.

`r_k(x)` is the distance from x to its k-th nearest neighbour in its own set. Both sets are cut to equal length.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from rgmkit.core.features import Comparison
from rgmkit.errors import ConfigError, DataError

ROWS = 1000  # of the matrix of distances computed at a time


class _Neighbours(Comparison):
    def __init__(self, *, neighbours: int) -> None:
        if neighbours < 1:
            raise ConfigError(f"neighbours is {neighbours}: give 1 or more")
        self.neighbours = neighbours

    def _cut(self, generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        count = min(len(generated), len(real))
        if count <= self.neighbours:
            raise DataError(f"{count} images have no {self.neighbours} neighbours each: give more images")
        return generated[:count].double(), real[:count].double()


@final
class PrecisionRecall(_Neighbours):
    """Precision: fraction of generated g with `|g - x| <= r_k(x)` for a real x; recall: with both sets exchanged.

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", 2019.

    Args:
        neighbours: k.
    """

    names: ClassVar = ("precision", "recall")

    def __init__(self, *, neighbours: int = 3) -> None:
        super().__init__(neighbours=neighbours)

    def __call__(self, generated: Tensor, real: Tensor) -> tuple[float, float]:
        """Return precision and recall, each from 0 to 1."""
        generated, real = self._cut(generated, real)
        precision = count_balls(generated, real, self.neighbours) > 0
        recall = count_balls(real, generated, self.neighbours) > 0
        return float(precision.double().mean()), float(recall.double().mean())


@final
class DensityCoverage(_Neighbours):
    """Density: mean number of real x with `|g - x| <= r_k(x)` of a generated g, over k; coverage: fraction of such x.

    Density is about 1 for equal distributions and can exceed it; a few outliers in either set change both little.

    Source: Naeem et al., "Reliable fidelity and diversity metrics for generative models", 2020.

    Args:
        neighbours: k.
    """

    names: ClassVar = ("density", "coverage")

    def __init__(self, *, neighbours: int = 5) -> None:
        super().__init__(neighbours=neighbours)

    def __call__(self, generated: Tensor, real: Tensor) -> tuple[float, float]:
        """Return density and coverage."""
        generated, real = self._cut(generated, real)
        density = count_balls(generated, real, self.neighbours).double().mean() / self.neighbours
        radii = find_radii(real, self.neighbours)
        nearest = torch.cat([torch.cdist(rows, generated).min(1).values for rows in real.split(ROWS)])
        return float(density), float((nearest <= radii).double().mean())


def find_radii(x: Tensor, k: int) -> Tensor:
    """Return the distance from each point to its k-th nearest neighbour among the others, (n,)."""
    return torch.cat([torch.cdist(rows, x).kthvalue(k + 1).values for rows in x.split(ROWS)])


def count_balls(points: Tensor, centers: Tensor, k: int) -> Tensor:
    """Count for each point the centers within whose k-th nearest neighbour's distance it lies, int64 (n,)."""
    radii = find_radii(centers, k)
    return torch.cat([(torch.cdist(rows, centers) <= radii).sum(1) for rows in points.split(ROWS)])
