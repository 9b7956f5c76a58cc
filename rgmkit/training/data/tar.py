"""Pictures in a tar archive, found by their offsets: nothing is unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from rgmkit.errors import DataError
from rgmkit.training.data.pictures import ENDINGS

_COMPRESSED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_BLOCK = 512


class Tar:
    """The pictures in a tar archive, in the order of the archive.

    A compressed archive (gzip, bzip2, xz) is decompressed once, into a temporary file that has no name and is gone
    with the process; any other is read where it lies.

    Args:
        path: the archive.
        ending: only files whose name from its first dot on is this, such as "jpg" or "input.png". Default: all
            PNG, JPEG and TIFF files whose name does not begin with a dot.

    Raises:
        DataError: if it is missing, cut off, or no tar archive, or holds no pictures.
    """

    def __init__(self, path: Path, *, ending: str | None = None) -> None:
        self.path = path
        try:
            self._file = _plain(path)
            places = _index(self._file, ending)
        except FileNotFoundError as error:
            raise DataError(f"{path} does not exist: give a tar archive on this machine") from error
        except IsADirectoryError as error:
            raise DataError(f"{path} is a folder: take the data set 'folder', or give a tar archive") from error
        except (tarfile.TarError, OSError, EOFError, lzma.LZMAError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path} cannot be read as a tar archive, it may be cut off: {reason}") from error
        if not places:
            what = "PNG, JPEG or TIFF files" if ending is None else f"files that end in .{ending}"
            raise DataError(f"{path} holds no pictures: put {what} into it")
        self._places = np.array(places, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def name(self, i: int) -> str:
        """The archive and the name of the file in it."""
        header = os.pread(self._file.fileno(), _BLOCK, int(self._places[i, 0]) - _BLOCK)
        return f"{self.path}/{tarfile.TarInfo.frombuf(header, 'utf-8', 'replace').name.removeprefix('./')}"

    def read(self, i: int) -> bytes:
        """The content of the i-th picture."""
        offset, size = self._places[i].tolist()
        return os.pread(self._file.fileno(), size, offset)

    def open(self, i: int) -> io.BytesIO:
        """The i-th picture as a file."""
        return io.BytesIO(self.read(i))


def _plain(path: Path) -> IO[bytes]:
    file = path.open("rb")
    start = file.read(6)
    file.seek(0)
    opener = next((opener for magic, opener in _COMPRESSED.items() if start.startswith(magic)), None)
    if opener is None:
        return file
    plain = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the data
    with file, opener(file) as content:
        shutil.copyfileobj(content, plain, 2**20)
    plain.seek(0)
    return plain


def _index(file: IO[bytes], ending: str | None) -> list[tuple[int, int]]:
    """Offset and size of every picture."""
    places = []
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while (member := archive.next()) is not None:
            if member.isreg() and _is_picture(PurePosixPath(member.name), ending):
                places.append((member.offset_data, member.size))
            # It keeps them all for itself, which need not fit into memory.
            archive.members.clear()  # type: ignore[attr-defined]
    if places and sum(places[-1]) > os.fstat(file.fileno()).st_size:
        raise EOFError("its last file is not whole")
    return places


def _is_picture(path: PurePosixPath, ending: str | None) -> bool:
    if any(part.startswith(".") for part in path.parts):
        return False
    if ending is not None:
        return path.name.partition(".")[2] == ending.removeprefix(".")
    return path.suffix.lower() in ENDINGS
