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
    """The methods that stopped early within `collect_shortfalls`.

    Attributes:
        worst: the largest relative residual of each method.
        times: how often each method stopped early.
        wanted: the relative residual that each was to reach.
    """

    worst: dict[str, float] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    wanted: dict[str, float] = field(default_factory=dict)

    def add(self, method: str, residual: float, wanted: float) -> None:
        """Record that `method` reached `residual` in place of `wanted`."""
        self.worst[method] = float(np.maximum(self.worst.get(method, 0.0), residual))  # NaN stays NaN
        self.times[method] = self.times.get(method, 0) + 1
        self.wanted[method] = wanted

    def messages(self) -> tuple[str, ...]:
        """One line for each method.

        >>> shortfalls = Shortfalls()
        >>> shortfalls.add("Blur.prox", 2e-4, 1e-5); shortfalls.add("Blur.prox", 1e-4, 1e-5)
        >>> shortfalls.messages()
        ('Blur.prox stopped early 2 times: relative residual up to 2.0e-04, above 1e-05',)
        """
        return tuple(
            f"{method} stopped early {'once' if n == 1 else f'{n} times'}: relative residual up to "
            f"{self.worst[method]:.1e}, above {self.wanted[method]:.0e}"
            for method, n in self.times.items()
        )


_collecting: ContextVar[Shortfalls | None] = ContextVar("_collecting", default=None)


def report_shortfall(method: str, residual: float, wanted: float) -> None:
    """Report that `method` stopped at a relative residual above `wanted`.

    Warns:
        AccuracyWarning: unless a `collect_shortfalls` block collects the report.
    """
    shortfalls = _collecting.get()
    if shortfalls is not None:
        shortfalls.add(method, residual, wanted)
        return
    alone = Shortfalls()
    alone.add(method, residual, wanted)
    warnings.warn(alone.messages()[0], AccuracyWarning, stacklevel=4)


@contextmanager
def collect_shortfalls() -> Iterator[Shortfalls]:
    """Collect shortfalls in place of warning of each."""
    shortfalls = Shortfalls()
    token = _collecting.set(shortfalls)
    try:
        yield shortfalls
    finally:
        _collecting.reset(token)
