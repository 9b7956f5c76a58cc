"""What the training loop needs of data: a batch for a step, the same one whenever it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from rgmkit.core.random import seeded


class Data(ABC):
    """A source of training batches.

    A batch is a function of (seed, step) alone, so that a resumed run goes on with the very batch that
    came next, without any state to keep.

    Attributes:
        shape: of one example: (C, H, W) for images in [0, 1], (d,) for points.
        center, scale: the range [-1, 1] of a forward process in the units of the data.
    """

    shape: tuple[int, ...]
    center: float = 0.5
    scale: float = 0.5

    @abstractmethod
    def batch(self, size: int, *, seed: int, step: int) -> Tensor:
        """`size` examples for a step, (size, *shape), float32."""

    def examples(self, n: int, *, seed: int = 0) -> Tensor:
        """`n` examples to measure generated ones against."""
        return self.batch(n, seed=seed, step=-1)

    def score(self, samples: Tensor) -> dict[str, float]:
        """Figures of generated examples that mean something for this data. Default: none."""
        return {}


class FiniteData(Data):
    """Data that can be counted: every example once per epoch, in an order drawn from (seed, epoch).

    Args:
        flip: mirror each image left to right with probability 1/2.
    """

    def __init__(self, *, flip: bool = False) -> None:
        self.flip = flip
        self._order: tuple[tuple[int, int], Tensor] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def take(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """The examples at these places, (n, *shape); what is drawn, such as a crop, is drawn from `generator`."""

    def batch(self, size: int, *, seed: int, step: int) -> Tensor:
        """The next `size` examples of the endless sequence of shuffled epochs."""
        first = step * size
        places = [self._place(first + i, seed) for i in range(size)]
        examples = self.take(torch.tensor(places), seeded(seed, step, _TAKE))
        if not self.flip:
            return examples
        mirrored = torch.rand(size, generator=seeded(seed, step, _FLIP)) < 0.5
        return torch.where(mirrored.view(-1, 1, 1, 1), examples.flip(-1), examples)

    def _place(self, position: int, seed: int) -> int:
        epoch, offset = divmod(position, len(self))
        key = (seed, epoch)
        if self._order is None or self._order[0] != key:
            self._order = (key, torch.randperm(len(self), generator=seeded(seed, epoch, _ORDER)))
        return int(self._order[1][offset])


_ORDER, _FLIP, _TAKE = 1, 2, 3  # keep the streams of one (seed, number) apart
