"""Files that are whole or not there: written aside, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rgmkit.errors import DataError


def check_writable(path: Path) -> None:
    """Raise a DataError unless a file can be written to `path`: look before a long computation.

    >>> check_writable(Path("new_folder/a.png"))
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder: name a file in it")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise DataError(f"{path}: {folder} is a file, not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{path}: the folder {folder} cannot be written to")


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well.

    An OSError of the block that names no file, such as that of a full disk, gets the name of this one.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with write_aside(target) as part:
    ...     _ = part.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.filename is None and error.strerror:  # a write to a full disk does not know where
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)
