"""Pictures in a tar archive, read in place by their offsets."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Any

import numpy as np

from rgmkit.errors import DataError
from rgmkit.images.formats import PICTURE_NAMES, is_picture_file

_COMPRESSED: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_BLOCK = 512


class Tar:
    """The pictures in a tar archive, in the order of the archive.

    A compressed archive (gzip, bzip2, xz) is decompressed once, into an unnamed temporary file. An uncompressed one is
    open only while it is read, since there may be thousands.

    Args:
        path: the archive.
        ending: take only files whose name ends like this after its first dot: "jpg", "input.png". Default: all picture
            files. Names that begin with a dot are always skipped.

    Raises:
        DataError: if it is missing, truncated or not a tar archive, or holds no pictures.
    """

    def __init__(self, path: Path, *, ending: str | None = None) -> None:
        self.path = path
        self._unpacked: IO[bytes] | None = None
        self._lock = Lock()  # guards the position in the temporary file: several threads read it
        try:
            self._unpacked = _decompress(path)
            with self._opened() as file:
                places = _index(file, ending)
        except FileNotFoundError as error:
            raise DataError(f"{path} does not exist: give a tar archive on this machine") from error
        except IsADirectoryError as error:
            raise DataError(f"{path} is a folder: take the data set 'folder', or give a tar archive") from error
        except (tarfile.TarError, OSError, EOFError, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.strerror:  # of the system, not of a decoder
                raise DataError(f"{path} cannot be read: {error.strerror}") from error
            reason = " ".join(str(error).split())
            raise DataError(f"{path} cannot be read as a tar archive, it may be cut off: {reason}") from error
        if not places:
            what = f"{PICTURE_NAMES} files" if ending is None else f"files that end in .{ending}"
            raise DataError(f"{path} holds no pictures: put {what} into it")
        self._places = np.array(places, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def name(self, i: int) -> str:
        """Return the archive and the name of the file in it."""
        return f"{self.path}/{self.inside(i)}"

    def inside(self, i: int) -> str:
        """Read the name of the i-th picture from the archive; millions of names would not fit in memory."""
        header, offset, _ = self._places[i].tolist()
        with self._opened() as file:
            file.seek(header)
            if offset - header == _BLOCK:
                name = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "replace").name
            else:  # a long name, or one that is not ASCII, has its own blocks
                with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="replace") as archive:
                    member = archive.next()
                    assert member is not None
                    name = member.name
        return name.removeprefix("./")

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        if self._unpacked is not None:
            with self._lock:
                yield self._unpacked
            return
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:  # it has been removed since the run began
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from error

    def open(self, i: int) -> io.BytesIO:
        """Read the i-th picture."""
        _, offset, size = self._places[i].tolist()
        with self._opened() as file:
            file.seek(offset)
            return io.BytesIO(file.read(size))


def _decompress(path: Path) -> IO[bytes] | None:
    """Decompress an archive into a temporary file; return None if it is not compressed."""
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in _COMPRESSED.items() if start.startswith(magic)), None)
        if opener is None:
            return None
        plain = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the data
        with opener(file) as content:
            while part := content.read(2**20):
                try:
                    plain.write(part)
                    plain.flush()
                except OSError as error:
                    raise DataError(
                        f"{path} cannot be decompressed into {tempfile.gettempdir()} ({error.strerror}): decompress it "
                        f"yourself, or name a folder with more room in TMPDIR"
                    ) from error
        return plain


def _index(file: IO[bytes], ending: str | None) -> list[tuple[int, int, int]]:
    """Return the offsets of header and content, and the size, of every picture."""
    places = []
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while (member := archive.next()) is not None:
            if member.isreg() and _is_picture(PurePosixPath(member.name), ending):
                places.append((member.offset, member.offset_data, member.size))
            # tarfile keeps all members, which need not fit in memory.
            archive.members.clear()  # type: ignore[attr-defined]
    if places and sum(places[-1][1:]) > os.fstat(file.fileno()).st_size:
        raise EOFError("its last file is not whole")
    return places


def _is_picture(path: PurePosixPath, ending: str | None) -> bool:
    if any(part.startswith(".") for part in path.parts):
        return False
    if ending is not None:
        return path.name.partition(".")[2] == ending.removeprefix(".")
    return is_picture_file(path)
