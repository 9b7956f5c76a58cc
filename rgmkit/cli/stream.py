"""Write arrays to a file part by part, without holding all of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING
from zipfile import ZipFile

from rgmkit.runtime.files import write_aside

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def npz_stream(path: Path, name: str, count: int) -> Iterator[NpzStream]:
    """Write the array `name` of an .npz file in parts, `count` rows in all; the file appears when it is complete.

    Raises:
        DataError: if it cannot be written.

    >>> import tempfile, numpy as np
    >>> file = Path(tempfile.mkdtemp()) / "a.npz"
    >>> with npz_stream(file, "images", 5) as stream:
    ...     for part in (np.zeros((3, 2)), np.ones((2, 2))):
    ...         stream.write(part)
    >>> np.load(file)["images"].sum(1)
    array([0., 0., 0., 2., 2.])
    """
    from rgmkit.runtime.signals import unwind_on_sigterm

    with (
        unwind_on_sigterm(),
        write_aside(path) as part,
        ZipFile(part, "w") as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as member,
    ):
        yield NpzStream(member, count)


class NpzStream:
    """Write the rows of one array into an open file."""

    def __init__(self, file: IO[bytes], count: int) -> None:
        self._file, self._count, self._begun = file, count, False

    def write(self, rows: np.ndarray) -> None:
        """Write the next rows; the first ones set the type and shape of all."""
        import numpy as np

        if not self._begun:
            header = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False}
            np.lib.format.write_array_header_1_0(self._file, {**header, "shape": (self._count, *rows.shape[1:])})
            self._begun = True
        self._file.write(np.ascontiguousarray(rows).tobytes())
