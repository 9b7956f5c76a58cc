"""Check files before they are read, and write them atomically: under a temporary name that is then changed."""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from rgmkit.errors import DataError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} if os.name == "posix" else {errno.ENOSPC, errno.EFBIG}


MISSING, FOLDER = "does not exist", "is a folder"
KEPT = 32  # letters of a name in that of its temporary file


def explain_unreadable(path: Path) -> str | None:
    """Say why `path` is no file that can be read to its end; None if it is one.

    >>> explain_unreadable(Path("no/such.png")), explain_unreadable(Path("/"))
    ('does not exist', 'is a folder')
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except (OSError, ValueError) as error:  # a loop of links, a name that is too long or has a zero byte
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if stat.S_ISDIR(mode):
        return FOLDER
    return None if stat.S_ISREG(mode) else "is a device or a pipe, and not a file: save what it gives as a file"


def check_name(path: Path) -> None:
    """Raise a DataError if a path is not UTF-8: tables, reports and model cards could not name it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the name {str(path)!a} is not UTF-8: rename it") from error


def check_writable(path: Path) -> None:
    """Raise a DataError unless a file can be written to `path`; to be called before a long computation.

    Temporary files of `write_aside` for `path` are removed whose process was killed on this machine.

    >>> check_writable(Path("new_folder/a.png"))
    """
    problem = explain_unreadable(path)
    if problem == FOLDER:
        raise DataError(f"{path} is a folder: name a file in it")
    if problem not in (None, MISSING):
        raise DataError(f"{path} {problem}: name another file")
    check_name(path)
    folder = next(parent for parent in path.absolute().parents if os.path.exists(parent))
    if not folder.is_dir():
        raise DataError(f"{path}: {folder} is a file, not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{path}: the folder {folder} cannot be written to")
    _remove_unfinished(path)


def _remove_unfinished(path: Path) -> None:
    if not path.parent.is_dir():
        return
    ours = re.compile(rf"\.{re.escape(path.name[:KEPT])}\.\w+-{_machine()}\.(\d+)\.part")
    for entry in os.scandir(path.parent):
        found = ours.fullmatch(entry.name)
        if found and not psutil.pid_exists(int(found[1])):
            with suppress(OSError):
                os.unlink(entry)


def _machine() -> str:
    """Return a short name of this machine, so that files of processes of others in a shared folder are left alone."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to, and rename it to `path` if the block succeeds.

    Missing folders are created. The temporary file never remains, and is new: a link of its name is not followed.

    Raises:
        DataError: if the file cannot be written, for example because the disk is full or the folder read-only.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with write_aside(target) as part:
    ...     _ = part.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    part = path.with_name(f".{path.name[:KEPT]}.{secrets.token_hex(4)}-{_machine()}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        if error.filename is not None and Path(error.filename) not in (part, path, *path.parents):
            raise  # of another file that the block opened
        raise DataError(explain_write_error(error, path)) from error


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file by `write_aside`; text is encoded as UTF-8."""
    with write_aside(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def explain_write_error(error: OSError, path: Path) -> str:
    """Return one line that says that `path` cannot be written, why, and what to do.

    >>> explain_write_error(OSError(errno.ENOSPC, "No space left on device"), Path("a.png"))
    'a.png cannot be written (No space left on device): make room'
    """
    remedy = "make room" if error.errno in FULL else "choose another place"
    return f"{path} cannot be written ({error.strerror or error}): {remedy}"
