"""One run per folder: a lock that the system takes back when its process ends, however it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rgmkit.errors import ConfigError

NAME = ".lock"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold `folder/.lock`, made if missing; what a killed process held is free again.

    Raises:
        ConfigError: if another process holds it, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / NAME).open("a+")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written to ({error.strerror}): give another folder with -o") from error
    with file:
        if not _taken(file.fileno()):
            file.seek(0)
            holder = file.read().strip() or "another"
            raise ConfigError(f"{folder.parent} is being trained by process {holder}: wait, or give another folder")
        with suppress(OSError):  # the number only helps the reader of a message, and the disk may be full
            file.truncate(0)
            os.write(file.fileno(), str(os.getpid()).encode())
        yield  # the file closes, and the lock goes with it


def _taken(descriptor: int) -> bool:
    if sys.platform == "win32":  # no flock there: nothing is refused
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
