"""Base classes of training data: a batch for each step, the same whenever it is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from rgmkit.core.printable import Printable
from rgmkit.core.random import seeded

Flip: TypeAlias = bool | Literal["all"]


class Data(Printable, ABC):
    """A source of training batches.

    A batch is a function of (seed, step) alone, so that a resumed run continues with the next batch without stored
    state. Several threads may call `batch` at once.

    Attributes:
        shape: shape of one example: (C, H, W) for images in [0, 1], (d,) for points.
        center, scale: a forward process works on (x - center) / scale, which is in [-1, 1] for images.
        count: number of examples; None if they are endless.
    """

    shape: tuple[int, ...]
    center: float = 0.5
    scale: float = 0.5
    count: int | None = None

    @abstractmethod
    def batch(self, size: int, *, seed: int, step: int) -> Tensor:
        """Return the `size` examples of a step, (size, *shape), float32."""

    def part(self, rows: Sequence[int], size: int, *, seed: int, step: int) -> Tensor:
        """Return only these rows of a batch of `size`, for one of several processes. Default: select from the whole."""
        return self.batch(size, seed=seed, step=step)[list(rows)]

    def examples(self, n: int, *, seed: int = 0) -> Tensor:
        """Return `n` examples for comparison with generated ones."""
        return self.batch(n, seed=seed, step=-1)

    @property
    def has_score(self) -> bool:
        """Whether there are metrics of generated examples."""
        return type(self).score is not Data.score

    def score(self, samples: Tensor) -> dict[str, float]:
        """Return metrics of generated examples. Default: none."""
        return {}


class FiniteData(Data):
    """A finite number of examples, each used once per epoch, in an order drawn from (seed, epoch).

    Attributes:
        draws: whether `take` draws random numbers. If so, it is called for one example at a time, with a generator
            seeded by (seed, step, row), so that a row of a batch is the same for any number of processes.

    Args:
        flip: mirror each image left to right with probability 1/2; "all": one of the eight rotations and reflections of
            each image, which has to be square.
    """

    draws: bool = True

    def __init__(self, *, flip: Flip = False) -> None:
        self.flip = flip
        self._orders: dict[tuple[int, int], Tensor] = {}  # of the last two epochs

    @abstractmethod
    def __len__(self) -> int:
        """The number of examples."""

    @abstractmethod
    def take(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return the examples with these indices, (n, *shape); `generator` is for random choices such as crops."""

    @property
    def count(self) -> int:  # type: ignore[override]
        """The number of examples."""
        return len(self)

    def batch(self, size: int, *, seed: int, step: int) -> Tensor:
        """Return the next `size` examples of the endless sequence of shuffled epochs."""
        return self.part(range(size), size, seed=seed, step=step)

    def part(self, rows: Sequence[int], size: int, *, seed: int, step: int) -> Tensor:
        """Return only these rows of the batch, without reading the others."""
        indices = torch.tensor([self._index(step * size + row, seed) for row in rows], dtype=torch.int64)
        if self.draws:
            each = zip(indices.split(1), rows, strict=True)
            examples = torch.cat([self.take(index, seeded(seed, step, _TAKE, row)) for index, row in each])
        else:
            examples = self.take(indices, torch.Generator())
        if not self.flip:
            return examples
        generator = seeded(seed, step, _FLIP)
        mirrored = (torch.rand(size, generator=generator) < 0.5)[list(rows)]
        examples = torch.where(mirrored.view(-1, 1, 1, 1), examples.flip(-1), examples)
        if self.flip != "all":
            return examples
        turns = torch.randint(4, (size,), generator=generator)[list(rows)].tolist()
        return torch.stack([example.rot90(turn, (-2, -1)) for example, turn in zip(examples, turns, strict=True)])

    def order(self, seed: int, epoch: int) -> Tensor:
        """Return the indices of all examples in the order of an epoch, int64 (len,). Default: a uniform permutation."""
        return torch.randperm(len(self), generator=seeded(seed, epoch, _ORDER))

    def _index(self, position: int, seed: int) -> int:
        """Return the index of the example at a position in the endless sequence of shuffled epochs."""
        epoch, offset = divmod(position, len(self))
        order = self._orders.get((seed, epoch))
        if order is None:
            order = self.order(seed, epoch)
            # Keep the previous order, too: another thread may still read the end of that epoch.
            self._orders = dict([*list(self._orders.items())[-1:], ((seed, epoch), order)])
        return int(order[offset])


_ORDER, _FLIP, _TAKE = 1, 2, 3  # so that streams with the same seed and step or epoch differ
