"""Keep some examples of a data set out of training, to measure on them."""

from __future__ import annotations

import torch
from torch import Tensor

from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError
from rgmkit.training.data.base import Data, FiniteData


class Subset(FiniteData):
    """Some examples of a data set, by their indices; metrics of samples are those of the whole data set."""

    def __init__(self, data: FiniteData, indices: Tensor) -> None:
        super().__init__(flip=data.flip)
        self.data, self.indices = data, indices
        self.shape, self.center, self.scale, self.draws = data.shape, data.center, data.scale, data.draws

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return the examples with these indices, (n, *shape)."""
        return self.data.take(self.indices[indices], generator)

    @property
    def has_score(self) -> bool:
        """Whether there are metrics of generated examples."""
        return self.data.has_score

    def score(self, samples: Tensor) -> dict[str, float]:
        """Return metrics of generated examples."""
        return self.data.score(samples)


def hold_out(data: Data, count: int) -> tuple[Data, Tensor]:
    """Split data into those to train on and `count` fixed examples, (count, *shape), the same for every seed.

    Raises:
        ConfigError: if the data have too few examples, no end, or an order of their own.
    """
    if not isinstance(data, FiniteData) or type(data).order is not FiniteData.order or len(data.shape) != 3:
        raise ConfigError(f"training.held_out is {count}: give 0, or images that can be read in any order")
    if count >= len(data):
        raise ConfigError(f"training.held_out is {count} of {len(data)} images: give fewer")
    order = torch.randperm(len(data), generator=seeded(0))
    held = data.take(order[:count], seeded(0, 1))
    return Subset(data, order[count:].sort().values), held
