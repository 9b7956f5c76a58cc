"""Peak memory of a piece of work."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

MIB = 2**20
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # what `clear_refs` takes for: set VmHWM to the present size (Linux, proc(5))
EVERY = 0.02  # seconds between two looks, where the system keeps no peak


class Peak:
    """The largest memory in use while a `peak_memory` block ran, in MiB; 0 until it has ended."""

    mib: float = 0.0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Measure the block: allocated memory on a CUDA device, else the resident memory of the whole process.

    The latter has all libraries in it, some hundred MiB. Linux keeps its peak; elsewhere, or where that cannot
    be reset, a thread looks every 20 ms.

    >>> with peak_memory(torch.device("cpu")) as peak:
    ...     x = torch.ones(2**20)
    >>> peak.mib > 4
    True
    """
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.mib = torch.cuda.max_memory_allocated(device) / MIB
    elif _reset():
        yield peak
        peak.mib = _high_water()
    else:
        with _sampled(peak):
            yield peak


def _reset() -> bool:
    """Whether the system's peak could be set back."""
    try:
        CLEAR.write_text(RESET_PEAK)
        return _high_water() > 0
    except OSError:
        return False


def _high_water() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
    return int(found[1]) / 1024 if found else 0.0


@contextmanager
def _sampled(peak: Peak) -> Iterator[None]:
    process, ended = psutil.Process(), threading.Event()

    def look() -> None:
        peak.mib = max(peak.mib, process.memory_info().rss / MIB)

    def watch() -> None:
        while not ended.wait(EVERY):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        look()
