"""Where tiles lie, and how they are blended: one axis at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

RAMP = 16  # pixels over which two tiles are blended where both are exact


@dataclass(frozen=True)
class Cut:
    """How one axis is cut into overlapping intervals.

    Attributes:
        step: pixels from one interval to the next, at the most.
        overlap: pixels that neighbours share: two margins, and between them the ramp of the blend.
        margin: pixels at an inner end of an interval that count for nothing.
        multiple: intervals begin at multiples of it.
    """

    step: int
    overlap: int
    margin: int = 0
    multiple: int = 1

    @property
    def side(self) -> int:
        """Pixels of an interval, at the most."""
        return up(self.step, self.multiple) + self.overlap

    def intervals(self, length: int) -> list[slice]:
        """The intervals of an axis of `length` pixels: as few as will do, of one size but for the last.

        >>> Cut(step=32, overlap=32, multiple=4).intervals(150)
        [slice(0, 64, None), slice(32, 96, None), slice(64, 128, None), slice(96, 150, None)]
        """
        if length <= self.side:
            return [slice(0, length)]
        count = math.ceil((length - self.overlap) / up(self.step, self.multiple))
        step = up(math.ceil((length - self.overlap) / count), self.multiple)
        starts = range(0, length - self.overlap, step)
        return [slice(start, min(start + step + self.overlap, length)) for start in starts]

    def weights(self, length: int, *, like: Tensor) -> list[Tensor]:
        """The weight of each interval along it; at each pixel of the axis they add up to 1.

        0 in the margins, from there a quarter of a sine wave, squared: a smooth partition of unity.
        """
        intervals = self.intervals(length)
        total = torch.zeros(length, dtype=torch.float64)
        shapes = []
        for interval in intervals:
            here = torch.arange(interval.start, interval.stop, dtype=torch.float64) + 0.5
            left = here - interval.start if interval.start else torch.full_like(here, math.inf)
            right = interval.stop - here if interval.stop < length else torch.full_like(here, math.inf)
            inside = (torch.minimum(left, right) - self.margin) / (self.overlap - 2 * self.margin)
            shapes.append((inside.clamp(0, 1) * math.pi / 2).sin().square())
            total[interval] += shapes[-1]
        return [(shape / total[interval]).to(like) for shape, interval in zip(shapes, intervals, strict=True)]


def up(length: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `length`."""
    return length + -length % multiple
