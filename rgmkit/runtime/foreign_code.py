"""Run code of third parties: whatever it raises becomes an error that can be reported."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rgmkit.errors import PluginError, describe_cause


@contextmanager
def contain(what: str = "") -> Iterator[None]:
    """Turn what the block raises into a PluginError that starts with `what`, unless it is an Exception already.

    Such are SystemExit, GeneratorExit and KeyboardInterrupt; those that a signal raises, as Ctrl-C does, pass.

    >>> with contain("rain"):
    ...     raise SystemExit("not today")
    Traceback (most recent call last):
    rgmkit.errors.PluginError: rain: SystemExit: not today
    """
    with _record_signals() as arrived:
        try:
            yield
        except Exception:
            raise
        except BaseException as error:
            if arrived:
                raise
            raise PluginError(f"{what}: {describe_cause(error)}" if what else describe_cause(error)) from error


@contextmanager
def _record_signals() -> Iterator[list[int]]:
    """Yield a list to which the numbers of the signals are added that Python functions handle during the block."""
    arrived: list[int] = []
    before: dict[signal.Signals, tuple[Any, Any]] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                recorder = _record(arrived, handler)
                before[number] = (recorder, handler)
                signal.signal(number, recorder)
    try:
        yield arrived
    finally:
        for number, (recorder, handler) in before.items():
            if signal.getsignal(number) is recorder:
                signal.signal(number, handler)


def _record(arrived: list[int], handler: Any) -> Any:
    def record(number: int, frame: FrameType | None) -> Any:
        arrived.append(number)
        return handler(number, frame)

    return record
