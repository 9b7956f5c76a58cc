"""Measure the peak memory of a block of code, and predict that of tensors."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from rgmkit.errors import DataError
from rgmkit.runtime.device import free_memory, measures_peak, peak_allocated, reset_peak

MIB, GIB = 2**20, 2**30
FLOAT32 = 4  # bytes
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # written to `clear_refs`, it sets VmHWM to the current size (Linux, proc(5))
EVERY = 0.02  # seconds between two samples, where the system records no peak


def check_memory(shape: tuple[int, ...], what: str, device: torch.device | None = None) -> None:
    """Raise a DataError if a tensor of this shape in float32 would exceed the free memory of the device.

    >>> check_memory((1, 3, 32, 32), "images")
    """
    check_bytes(FLOAT32 * math.prod(shape), f"{' x '.join(map(str, shape))} {what}", device)


def check_bytes(needed: int, what: str, device: torch.device | None = None) -> None:
    """Raise a DataError if so many bytes exceed the free memory of the device.

    >>> check_bytes(1000, "images")
    """
    free = free_memory(device or torch.device("cpu"))
    if needed > free:
        raise DataError(f"{what} take {needed / GIB:.3g} GiB, and {free / GIB:.1f} GiB are free: ask for less")


class Peak:
    """The peak memory of a `peak_memory` block in MiB; 0 until the block has ended."""

    mib: float = 0.0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Measure the peak memory of the block: allocated on an accelerator, else the resident memory of the process.

    The latter includes all libraries, a few hundred MiB. Linux records its peak; elsewhere, or if the record cannot be
    reset, a thread samples it every 20 ms.

    >>> with peak_memory(torch.device("cpu")) as peak:
    ...     x = torch.ones(2**20)
    >>> peak.mib > 4
    True
    """
    peak = Peak()
    if measures_peak(device):
        reset_peak(device)
        yield peak
        peak.mib = peak_allocated(device) / MIB
    elif _reset_system_peak():
        yield peak
        peak.mib = _read_system_peak()
    else:
        with _sample_peak(peak):
            yield peak


def _reset_system_peak() -> bool:
    """Reset the peak that the system records; return whether it could be."""
    try:
        CLEAR.write_text(RESET_PEAK)
        return _read_system_peak() > 0
    except OSError:
        return False


def _read_system_peak() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
    return int(found[1]) / 1024 if found else 0.0


@contextmanager
def _sample_peak(peak: Peak) -> Iterator[None]:
    process, ended = psutil.Process(), threading.Event()

    def sample() -> None:
        running = True
        while running:
            running = not ended.wait(EVERY)  # the last sample is taken after the end
            peak.mib = max(peak.mib, process.memory_info().rss / MIB)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield
    finally:
        ended.set()
        sampler.join()
