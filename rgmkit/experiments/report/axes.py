"""Axes of a plot: from values to places on the page, and the ticks between."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` on places from `start` to `end`; `log`: evenly in the logarithm.

    >>> round(Axis(0.1, 10, 0, 200, log=True).place(1.0), 9)
    100.0
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value stands; values beyond the axis stand at its ends."""
        low, high, value = (self._scaled(v) for v in (self.low, self.high, value))
        part = (value - low) / (high - low)
        return self.start + min(max(part, 0.0), 1.0) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values on the axis, at least two and not many more than six.

        >>> Axis(0.03, 4, 0, 1, log=True).ticks(), Axis(21.3, 29.8, 0, 1).ticks()
        ([0.03, 0.1, 0.3, 1.0, 3.0], [22.0, 24.0, 26.0, 28.0])
        """
        if not self.log:
            return _multiples(self.low, self.high)
        for digits in ((1,), (1, 3), (1, 2, 5)):
            found = _decades(self.low, self.high, digits)
            if len(found) >= 3:
                return found
        return found if len(found) >= 2 else _multiples(self.low, self.high)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


def _multiples(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _decades(low: float, high: float, digits: tuple[int, ...]) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [float(f"{digit}e{power}") for power in powers for digit in digits]
    return [value for value in values if low <= value <= high]
