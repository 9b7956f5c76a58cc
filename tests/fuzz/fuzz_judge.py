"""Judge what happened to an input: refused in one line, answered, or a fault, which is kept with its input."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from rgmkit.errors import RgmkitError, escape_controls
from rgmkit.runtime import memory

LONGEST, WAITED = 10.0, 60.0  # seconds of computing, and in all on a busy machine
MOST = 2 * 2**10  # MiB, above what was used before
FREE = 2**30  # bytes that are said to be free: more is refused before it is allocated
REFUSED, ANSWERED = "refused", "answered"
FAULTS = ("traceback", "nonsense", "longer than 10 s", "more than 2 GiB", "bad message", "file outside")


class Overdue(BaseException):
    """The time is up."""


@dataclass
class Table:
    """How many inputs of each kind had each outcome, and the inputs that were faults."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[dict[str, str]] = field(default_factory=list)

    def add(self, kind: str, outcome: str, given: Any, why: str = "") -> None:
        """Count an outcome; keep the input of a fault."""
        self.counts.setdefault(kind, Counter())[outcome] += 1
        if outcome in FAULTS:
            self.faults.append({"kind": kind, "outcome": outcome, "input": repr(given)[:600], "why": why[-1500:]})

    def write(self, file: Path) -> None:
        """Write the counts, beside those of other kinds that the file has."""
        before = json.loads(file.read_text()) if file.exists() else {}
        doors = {**before.get("doors", {}), **self.counts}
        file.write_text(json.dumps({"doors": doors}, indent=1) + "\n")


def judge(table: Table, kind: str, given: Any, act: Callable[[Any], Any]) -> None:
    """Do something with an input, and count the outcome."""
    outcome, why, began = ANSWERED, "", time.process_time()
    before = memory._read_system_peak() if memory._reset_system_peak() else 0.0
    overdue: list[bool] = []
    try:
        with _limit_time(overdue), _quiet():
            wrong = find_nonsense(act(given))
        if wrong:
            outcome, why = "nonsense", wrong
    except RgmkitError as error:
        outcome, why = check_message(str(error))
    except Overdue:
        pass
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error) and not isinstance(error, MemoryError):
            outcome, why = "traceback", traceback.format_exc()
        else:
            outcome = REFUSED  # the command line says "out of memory", and nothing was allocated
    except BaseException:
        outcome, why = "traceback", traceback.format_exc()
    seconds = time.process_time() - began
    if overdue or seconds > LONGEST:
        outcome, why = "longer than 10 s", f"{seconds:.1f} s {why}"
    elif memory._read_system_peak() - before > MOST:
        outcome, why = "more than 2 GiB", f"{memory._read_system_peak() - before:.0f} MiB"
    table.add(kind, outcome, given, why)


def check_message(text: str) -> tuple[str, str]:
    """Judge an error message: one line, not too long, nothing that a terminal would obey."""
    if not text or "\n" in text or len(text) > 2000 or text != escape_controls(text):
        return "bad message", text[:500]
    return REFUSED, ""


def find_nonsense(answer: Any) -> str:
    """Say what is wrong with an answer; empty if it is an image, or several, or no tensor."""
    if isinstance(answer, torch.Tensor) and not answer.isfinite().all():
        return f"{int((~answer.isfinite()).sum())} of {answer.numel()} values are not finite"
    return ""


@contextlib.contextmanager
def _limit_time(overdue: list[bool]) -> Iterator[None]:
    def stop(*_: Any) -> None:
        overdue.append(True)
        raise Overdue

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, LONGEST), signal.SIGALRM: (signal.ITIMER_REAL, WAITED)}
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, limit in timers.values():
        signal.setitimer(timer, limit, 1.0)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def small_machine(folder: Path) -> Iterator[None]:
    """Let this process work in a folder, find 1 GiB free, and have 10 GiB at most."""
    before, here, free = resource.getrlimit(resource.RLIMIT_AS), Path.cwd(), memory.free_memory
    resource.setrlimit(resource.RLIMIT_AS, (10 * 2**30, before[1]))
    memory.free_memory = lambda device: min(FREE, free(device))  # type: ignore[assignment]
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        memory.free_memory = free
        resource.setrlimit(resource.RLIMIT_AS, before)
