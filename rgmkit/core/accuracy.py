"""Iterative methods that stopped early: one warning for each method, however often it was called."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from rgmkit.errors import AccuracyWarning


class Shortfalls(dict[str, list[tuple[float, float]]]):
    """The methods that stopped early: each time the relative residual, and the one that was to be reached."""

    def messages(self) -> tuple[str, ...]:
        """One line for each method.

        >>> Shortfalls({"Blur.prox": [(2e-4, 1e-5), (1e-4, 1e-5)]}).messages()
        ('Blur.prox stopped early 2 times: relative residual up to 2.0e-04, above 1e-05',)
        """
        lines = []
        for method, reports in self.items():
            residuals, wanted = zip(*reports, strict=True)
            times = "once" if len(reports) == 1 else f"{len(reports)} times"
            worst = np.max(residuals)  # NaN stays NaN
            lines.append(f"{method} stopped early {times}: relative residual up to {worst:.1e}, above {wanted[-1]:.0e}")
        return tuple(lines)


_collecting: ContextVar[Shortfalls | None] = ContextVar("_collecting", default=None)


def report_shortfall(method: str, residual: float, wanted: float) -> None:
    """Report that `method` stopped at a relative residual above `wanted`.

    Warns:
        AccuracyWarning: unless a `collect_shortfalls` block collects the report.
    """
    shortfalls = _collecting.get()
    if shortfalls is not None:
        shortfalls.setdefault(method, []).append((residual, wanted))
        return
    warnings.warn(Shortfalls({method: [(residual, wanted)]}).messages()[0], AccuracyWarning, stacklevel=4)


@contextmanager
def collect_shortfalls() -> Iterator[Shortfalls]:
    """Collect shortfalls in place of warning of each."""
    shortfalls = Shortfalls()
    token = _collecting.set(shortfalls)
    try:
        yield shortfalls
    finally:
        _collecting.reset(token)
