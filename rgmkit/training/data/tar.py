"""Pictures in a tar archive, read in place by their offsets."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import posixpath
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Any

import numpy as np

from rgmkit.errors import DataError, naming
from rgmkit.images.formats import PICTURE_NAMES, is_picture_file
from rgmkit.images.limits import check_ratio
from rgmkit.runtime.files import FOLDER, MISSING, explain_unreadable

_COMPRESSED: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_BLOCK = 512
_METADATA = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE
)  # fmt: skip
_LONGEST = 2**20  # bytes


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
        self.path, self.ending = path, ending
        self._unpacked: IO[bytes] | None = None
        self._lock = Lock()  # guards the position in the temporary file: several threads read it
        problem = explain_unreadable(path)
        if problem not in (None, MISSING, FOLDER):
            raise DataError(f"{path} {problem}")
        try:
            self._unpacked = _decompress(path)
            with self._opened() as file:
                places, self.lost_links, self.dotted = _index(file, ending)
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
        with self.section(i) as (file, offset, size):
            file.seek(offset)
            return io.BytesIO(file.read(size))

    @contextmanager
    def section(self, i: int) -> Iterator[tuple[IO[bytes], int, int]]:
        """Open the archive, and tell where the i-th picture begins in it, and its size in bytes."""
        _, offset, size = self._places[i].tolist()
        with self._opened() as file:
            yield file, offset, size

    def size(self, i: int) -> int:
        """Return the size in bytes of the i-th picture."""
        return int(self._places[i, 2])


class _Header(tarfile.TarInfo):
    """The header of a member; a name, or other metadata, that would fill the memory is refused."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _METADATA and self.size > _LONGEST:
            raise tarfile.ReadError(f"a name in it has {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


def _decompress(path: Path) -> IO[bytes] | None:
    """Decompress an archive into a temporary file; return None if it is not compressed."""
    with path.open("rb") as file:
        start, size = file.read(6), os.fstat(file.fileno()).st_size
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
                    with naming(str(path)):
                        check_ratio(plain.tell(), size)
                except OSError as error:
                    raise DataError(
                        f"{path} cannot be decompressed into {tempfile.gettempdir()} ({error.strerror}): decompress it "
                        f"yourself, or name a folder with more room in TMPDIR"
                    ) from error
        return plain


def _index(file: IO[bytes], ending: str | None) -> tuple[list[tuple[int, int, int]], int, int]:
    """Return the offsets of header and content, and the size, of every picture; links have the content of their target.

    Beside them return the number of links whose target is not in the archive, and that of files that have the ending
    after a further dot.
    """
    places, links, dotted = [], {}, 0
    for member in _members(file):
        path = PurePosixPath(member.name)
        if not _is_picture(path, ending):
            dotted += member.isreg() and ending is not None and _is_picture(PurePosixPath(f"_{path.suffix}"), ending)
        elif member.isreg():
            places.append((member.offset, member.offset_data, member.size))
        elif member.islnk() or member.issym():
            links[member.offset] = _target(member)
    if places and max(sum(place[1:]) for place in places) > os.fstat(file.fileno()).st_size:
        raise EOFError("its last file is not whole")
    found = _find_targets(file, set(links.values()))
    places += [(header, *found[name]) for header, name in links.items() if name in found]
    return sorted(places), sum(name not in found for name in links.values()), dotted


def warn_left_out(tars: Sequence[Tar]) -> None:
    """Warn of what archives hold and is not taken."""
    links, dotted = sum(tar.lost_links for tar in tars), sum(tar.dotted for tar in tars)
    if links:
        warnings.warn(f"{links} links are left out: what they link to is not in the archive", stacklevel=3)
    if dotted:
        ending = f"{tars[0].ending}".removeprefix(".")
        warnings.warn(
            f"{dotted} files end in .{ending} after a further dot, such as a.b.{ending}, and are left out: an ending "
            f"begins at the first dot of a name",
            stacklevel=3,
        )


def _members(file: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Read the members of an archive one by one."""
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as archive:
        while (member := archive.next()) is not None:
            yield member
            # tarfile keeps all members, which need not fit in memory.
            archive.members.clear()  # type: ignore[attr-defined]


def _target(member: tarfile.TarInfo) -> str:
    """Return the name in the archive that a hard link, or a symbolic one, refers to."""
    folder = "" if member.islnk() else posixpath.dirname(member.name)
    return posixpath.normpath(posixpath.join(folder, member.linkname))


def _find_targets(file: IO[bytes], names: set[str], depth: int = 8) -> dict[str, tuple[int, int]]:
    """Find the content of the files with these names: offset and size; a target may be a link itself, up to a depth."""
    found, linked = {}, {}
    for member in _members(file) if names else ():
        name = posixpath.normpath(member.name)
        if member.isreg() and name in names:
            found[name] = member.offset_data, member.size
        elif name in names:
            linked[name] = _target(member)
    further = set(linked.values()) - names
    more = _find_targets(file, further, depth - 1) if further and depth else {}
    for name, target in linked.items():
        place = found.get(target) or more.get(target)
        if place:
            found[name] = place
    return found


def _is_picture(path: PurePosixPath, ending: str | None) -> bool:
    if any(part.startswith(".") for part in path.parts):
        return False
    if ending is not None:
        return path.name.partition(".")[2].lower() == ending.removeprefix(".").lower()
    return is_picture_file(path)
