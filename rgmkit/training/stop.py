"""SIGINT and SIGTERM wait for the end of a step, so that a checkpoint can be written first."""

from __future__ import annotations

import signal
import threading
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


def stop_by(number: int) -> NoReturn:
    """End as a process that the signal ends: Ctrl-C raises KeyboardInterrupt, SIGTERM ends the process."""
    signal.raise_signal(signal.Signals(number))
    raise SystemExit(128 + number)  # where a handler of the caller's has let it pass
