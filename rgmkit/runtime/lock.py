"""One run per folder: a lock that the system releases when its process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from rgmkit.errors import ConfigError

LOCK, OWNER = ".lock", ".owner"
"""The lock, and a file with the id of the process that holds it, since on Windows a locked file cannot be read."""


@contextmanager
def lock_folder(folder: Path, *, busy: str | None = None) -> Iterator[None]:
    """Hold the lock `folder/.lock`, creating the folder if it is missing.

    Args:
        busy: what an error says if another process holds it. Default: that the folder above is being trained.

    Raises:
        ConfigError: if another process holds it, or the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        what = busy or f"{folder.parent} is being trained"
        raise ConfigError(f"{what} by process {_read_owner(folder)}: wait, or give another folder") from error
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written to ({error.strerror}): give another folder with -o") from error
    try:
        with suppress(OSError):  # the id is only for a message, and the disk may be full
            (folder / OWNER).write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _read_owner(folder: Path) -> str:
    with suppress(OSError):
        return (folder / OWNER).read_text().strip() or "another"
    return "another"
