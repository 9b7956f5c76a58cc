"""SIGINT and SIGTERM wait for the end of a step, or for what is half written to be removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn


class Stop:
    """Within its block, the first SIGINT (Ctrl-C) or SIGTERM is noted; a second one acts at once.

    Outside the main thread, where Python takes no signals, nothing is noted.

    Attributes:
        signal: the number of the signal that came, or 0.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        self.__exit__()


@contextmanager
def unwind_on_sigterm() -> Iterator[None]:
    """Within it, SIGTERM unwinds the stack as Ctrl-C does, and takes effect after it; a second one acts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = 0

    def unwind(number: int, _: FrameType | None) -> None:
        nonlocal came
        came = number
        signal.signal(number, before)
        raise KeyboardInterrupt

    before: Any = signal.signal(signal.SIGTERM, unwind) or signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if came:
            stop_by(came)


def stop_by(number: int) -> NoReturn:
    """End as a process that the signal ends: Ctrl-C raises KeyboardInterrupt, SIGTERM ends the process."""
    signal.raise_signal(signal.Signals(number))
    raise SystemExit(128 + number)  # where a handler of the caller's has let it pass
