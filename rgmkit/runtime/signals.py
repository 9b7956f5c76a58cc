"""Handle SIGINT (Ctrl-C) and SIGTERM alike: stop the work cleanly, then end the process as the signal would.

`DeferredSignals` lets the current step finish, `unwind_on_sigterm` unwinds the stack at once. A second signal acts
immediately. Outside the main thread, where Python handles no signals, both do nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn


class DeferredSignals:
    """Record the first SIGINT or SIGTERM that arrives in the block, instead of acting on it.

    Attributes:
        received: the number of the signal; 0 if there was none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> DeferredSignals:
        if _handles_signals():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        self.__exit__()


@contextmanager
def unwind_on_sigterm() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt in the block, as Ctrl-C does, and then end the process."""
    if not _handles_signals():
        yield
        return
    received = 0

    def unwind(number: int, _: FrameType | None) -> None:
        nonlocal received
        received = number
        signal.signal(number, before)
        raise KeyboardInterrupt

    before: Any = signal.signal(signal.SIGTERM, unwind) or signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if received:
            end_by(received)


def end_by(number: int) -> NoReturn:
    """End this process as the signal would: SIGINT raises KeyboardInterrupt, SIGTERM terminates."""
    signal.raise_signal(signal.Signals(number))
    raise SystemExit(128 + number)  # if a handler of the caller ignored the signal


def _handles_signals() -> bool:
    return threading.current_thread() is threading.main_thread()
