"""What the training loop needs of data: a batch for a step, the same one whenever it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

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
        count: number of examples; None if there is no end to them.
    """

    shape: tuple[int, ...]
    center: float = 0.5
    scale: float = 0.5
    count: int | None = None

    @abstractmethod
    def batch(self, size: int, *, seed: int, step: int) -> Tensor:
        """`size` examples for a step, (size, *shape), float32."""

    def part(self, rows: Sequence[int], size: int, *, seed: int, step: int) -> Tensor:
        """Those `rows` of the batch, for one of several processes. Default: they are taken out of it."""
        return self.batch(size, seed=seed, step=step)[list(rows)]

    def examples(self, n: int, *, seed: int = 0) -> Tensor:
        """`n` examples to measure generated ones against."""
        return self.batch(n, seed=seed, step=-1)

    def score(self, samples: Tensor) -> dict[str, float]:
        """Figures of generated examples that mean something for this data. Default: none."""
        return {}


class FiniteData(Data):
    """Data that can be counted: every example once per epoch, in an order drawn from (seed, epoch).

    Attributes:
        draws: whether `take` draws anything. If so, it is called for one example at a time, with a generator
            of (seed, step, row), so that a row of a batch is the same in any number of processes.

    Args:
        flip: mirror each image left to right with probability 1/2.
    """

    draws: bool = True

    def __init__(self, *, flip: bool = False) -> None:
        self.flip = flip
        self._order: tuple[tuple[int, int], Tensor] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def take(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """The examples at these places, (n, *shape); what is drawn, such as a crop, is drawn from `generator`."""

    @property
    def count(self) -> int:  # type: ignore[override]
        """Number of examples."""
        return len(self)

    def batch(self, size: int, *, seed: int, step: int) -> Tensor:
        """The next `size` examples of the endless sequence of shuffled epochs."""
        return self.part(range(size), size, seed=seed, step=step)

    def part(self, rows: Sequence[int], size: int, *, seed: int, step: int) -> Tensor:
        """Those `rows` of the next `size` examples; no other is read."""
        places = torch.tensor([self._place(step * size + row, seed) for row in rows], dtype=torch.int64)
        if self.draws:
            each = zip(places.split(1), rows, strict=True)
            examples = torch.cat([self.take(place, seeded(seed, step, _TAKE, row)) for place, row in each])
        else:
            examples = self.take(places, torch.Generator())
        if not self.flip:
            return examples
        mirrored = (torch.rand(size, generator=seeded(seed, step, _FLIP)) < 0.5)[list(rows)]
        return torch.where(mirrored.view(-1, 1, 1, 1), examples.flip(-1), examples)

    def order(self, seed: int, epoch: int) -> Tensor:
        """The places of all examples in the order of an epoch, int64 (len,). Default: any order is as likely."""
        return torch.randperm(len(self), generator=seeded(seed, epoch, _ORDER))

    def _place(self, position: int, seed: int) -> int:
        epoch, offset = divmod(position, len(self))
        if self._order is None or self._order[0] != (seed, epoch):
            self._order = ((seed, epoch), self.order(seed, epoch))
        return int(self._order[1][offset])


_ORDER, _FLIP, _TAKE = 1, 2, 3  # keep the streams of one (seed, number) apart
