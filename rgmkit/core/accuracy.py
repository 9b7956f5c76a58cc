"""Iterative methods that stopped early: one warning for each method, however often it was called."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np

from rgmkit.errors import AccuracyWarning


@dataclass
class Shortfalls:
    """What was reported within `collect_shortfalls`.

    Attributes:
        worst: the largest relative residual of each method.
        times: how often each method stopped early.
        wanted: the residual that each was to reach.
    """

    worst: dict[str, float] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    wanted: dict[str, float] = field(default_factory=dict)

    def add(self, method: str, residual: float, wanted: float) -> None:
        """Count one more."""
        self.worst[method] = float(np.maximum(self.worst.get(method, 0.0), residual))  # NaN stays NaN
        self.times[method] = self.times.get(method, 0) + 1
        self.wanted[method] = wanted

    def lines(self) -> tuple[str, ...]:
        """One line of each method.

        >>> shortfalls = Shortfalls()
        >>> shortfalls.add("Blur.prox", 2e-4, 1e-5); shortfalls.add("Blur.prox", 1e-4, 1e-5)
        >>> shortfalls.lines()
        ('Blur.prox stopped early 2 times: relative residual up to 2.0e-04, above 1e-05',)
        """
        return tuple(
            f"{method} stopped early {'once' if n == 1 else f'{n} times'}: relative residual up to "
            f"{self.worst[method]:.1e}, above {self.wanted[method]:.0e}"
            for method, n in self.times.items()
        )


_gathering: ContextVar[Shortfalls | None] = ContextVar("_gathering", default=None)


def stopped_early(method: str, residual: float, wanted: float) -> None:
    """Report that `method` reached a relative residual above the one it wanted.

    Warns:
        AccuracyWarning: at once, or within `collect_shortfalls` when the caller says so.
    """
    shortfalls = _gathering.get()
    if shortfalls is not None:
        shortfalls.add(method, residual, wanted)
        return
    alone = Shortfalls()
    alone.add(method, residual, wanted)
    warnings.warn(alone.lines()[0], AccuracyWarning, stacklevel=4)


@contextmanager
def collect_shortfalls() -> Iterator[Shortfalls]:
    """Within, shortfalls are counted and nothing is warned of."""
    shortfalls = Shortfalls()
    token = _gathering.set(shortfalls)
    try:
        yield shortfalls
    finally:
        _gathering.reset(token)
