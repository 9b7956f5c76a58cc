"""The positions of tiles along an axis, and their weights in the blend."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

RAMP = 16  # pixels over which two tiles are blended where both are exact


@dataclass(frozen=True)
class AxisTiling:
    """Overlapping intervals that cover an axis.

    Attributes:
        step: most pixels from the start of one interval to the next.
        overlap: pixels that neighbours share: two margins, and the ramp of the blend between them.
        margin: pixels of weight 0 at an inner end of an interval.
        multiple: intervals start at multiples of it.
    """

    step: int
    overlap: int
    margin: int = 0
    multiple: int = 1

    @property
    def side(self) -> int:
        """Most pixels of an interval."""
        return round_up(self.step, self.multiple) + self.overlap

    def intervals(self, length: int) -> list[slice]:
        """Return the intervals of an axis of `length` pixels: as few as possible, of one size but for the last.

        >>> AxisTiling(step=32, overlap=32, multiple=4).intervals(150)
        [slice(0, 64, None), slice(32, 96, None), slice(64, 128, None), slice(96, 150, None)]
        """
        if length <= self.side:
            return [slice(0, length)]
        count = math.ceil((length - self.overlap) / round_up(self.step, self.multiple))
        step = round_up(math.ceil((length - self.overlap) / count), self.multiple)
        starts = range(0, length - self.overlap, step)
        return [slice(start, min(start + step + self.overlap, length)) for start in starts]

    def weights(self, length: int, *, like: Tensor) -> list[Tensor]:
        """Return the weights of each interval: a smooth partition of unity.

        They are 0 in the margins and rise from there as the square of a quarter of a sine wave.
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


def round_up(length: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `length`."""
    return length + -length % multiple
