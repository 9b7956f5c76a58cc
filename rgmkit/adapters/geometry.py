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
        side: of an interval, in pixels, at the most.
        margin: pixels at an inner end of an interval that count for nothing.
        overlap: of neighbours: two margins, and between them the ramp of the blend.
        multiple: intervals begin at multiples of it.
    """

    side: int
    margin: int
    overlap: int
    multiple: int

    @staticmethod
    def least(margin: int, multiple: int) -> int:
        """The smallest side that leaves something between two overlaps."""
        return up(2 * margin + RAMP, multiple) + multiple

    def intervals(self, length: int) -> list[slice]:
        """The intervals of an axis of `length` pixels: as few as will do, of one size but for the last.

        >>> Cut(side=64, margin=8, overlap=32, multiple=4).intervals(150)
        [slice(0, 60, None), slice(28, 88, None), slice(56, 116, None), slice(84, 144, None), slice(112, 150, None)]
        """
        if length <= self.side:
            return [slice(0, length)]
        whole = self.side - self.side % self.multiple
        count = math.ceil((length - self.overlap) / (whole - self.overlap))
        side = up(math.ceil((length + (count - 1) * self.overlap) / count), self.multiple)
        starts = range(0, length - self.overlap, side - self.overlap)
        return [slice(start, min(start + side, length)) for start in starts]

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
