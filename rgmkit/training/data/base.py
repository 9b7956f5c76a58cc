"""Training data: a batch for each step, the same whenever it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from rgmkit.core.random import seeded

Flip: TypeAlias = bool | Literal["all"]


class Data(ABC):
    """A source of training batches.

    A batch is a function of (seed, step) alone, so that a resumed run goes on with the next batch without any state.
    Several threads may ask for batches at once.

    Attributes:
        shape: of one example: (C, H, W) for images in [0, 1], (d,) for points.
        center, scale: of the range that a forward process sees as [-1, 1], in the units of the data.
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
        """Return some rows of the batch, for one of several processes. Default: select them from the whole batch."""
        return self.batch(size, seed=seed, step=step)[list(rows)]

    def examples(self, n: int, *, seed: int = 0) -> Tensor:
        """Return `n` examples to compare generated ones with."""
        return self.batch(n, seed=seed, step=-1)

    def score(self, samples: Tensor) -> dict[str, float]:
        """Return metrics of generated examples. Default: none."""
        return {}


class FiniteData(Data):
    """A finite number of examples: each comes once per epoch, in an order drawn from (seed, epoch).

    Attributes:
        draws: whether `take` draws random numbers. If so, it is called for one example at a time, with a generator
            of (seed, step, row), so that a row of a batch is the same in any number of processes.

    Args:
        flip: mirror each image left to right with probability 1/2; "all": take one of the eight turned and mirrored
            images, which have to be square.
    """

    draws: bool = True

    def __init__(self, *, flip: Flip = False) -> None:
        self.flip = flip
        self._orders: dict[tuple[int, int], Tensor] = {}  # of the epochs that batches were last taken from

    @abstractmethod
    def __len__(self) -> int:
        """The number of examples."""

    @abstractmethod
    def take(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return the examples at these places, (n, *shape); `generator` draws what is random, such as a crop."""

    @property
    def count(self) -> int:  # type: ignore[override]
        """The number of examples."""
        return len(self)

    def batch(self, size: int, *, seed: int, step: int) -> Tensor:
        """Return the next `size` examples of the endless sequence of shuffled epochs."""
        return self.part(range(size), size, seed=seed, step=step)

    def part(self, rows: Sequence[int], size: int, *, seed: int, step: int) -> Tensor:
        """Return some rows of the next `size` examples, and read no others."""
        places = torch.tensor([self._place(step * size + row, seed) for row in rows], dtype=torch.int64)
        if self.draws:
            each = zip(places.split(1), rows, strict=True)
            examples = torch.cat([self.take(place, seeded(seed, step, _TAKE, row)) for place, row in each])
        else:
            examples = self.take(places, torch.Generator())
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
        """Return the places of all examples in the order of an epoch, int64 (len,). Default: a uniform permutation."""
        return torch.randperm(len(self), generator=seeded(seed, epoch, _ORDER))

    def _place(self, position: int, seed: int) -> int:
        epoch, offset = divmod(position, len(self))
        order = self._orders.get((seed, epoch))
        if order is None:
            order = self.order(seed, epoch)
            # Another thread may be at the end of the epoch before.
            self._orders = dict([*list(self._orders.items())[-1:], ((seed, epoch), order)])
        return int(order[offset])


_ORDER, _FLIP, _TAKE = 1, 2, 3  # keep the streams of one (seed, number) apart
