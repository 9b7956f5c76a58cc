"""The picture formats that are read and written: one row for each, with a codec module in `codecs`.

To add a format, write a codec, a module with `decode(data, limit) -> Decoded`, where `limit` is a number of pixels, and
`encode(array, axes, alpha, scale) -> bytes`, where the array has one of the `depths`, and add a row to `FORMATS`.
Nothing else names a file ending of a picture. Nothing heavy is imported here, so that file names are checked before
anything is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import ModuleType

from rgmkit.errors import DataError, join_words
from rgmkit.runtime.files import FOLDER, MISSING, check_name, check_writable, explain_unreadable


@dataclass(frozen=True)
class Format:
    """A picture format.

    Attributes:
        name: as messages call it.
        endings: of its files, in lower case, the usual one first.
        codec: the module in `codecs` that reads and writes it.
        depths: bits of a stored value, by the bits of the picture: 8, 16, or 32 for floats.
        signatures: first bytes of its files, by which the codec is chosen; files with none of them are read by Pillow.
        has_alpha: whether it stores an alpha channel.
        has_stacks: whether it stores frames, any number of channels, and negative whole numbers.
        is_picture: whether its files are always pictures, so that they are taken from a folder of training data.
    """

    name: str
    endings: tuple[str, ...]
    codec: str
    depths: Mapping[int, int]
    signatures: tuple[bytes, ...] = ()
    has_alpha: bool = True
    has_stacks: bool = False
    is_picture: bool = True

    @property
    def stores_floats(self) -> bool:
        """Whether floats are stored as they are, also outside [0, 1]."""
        return self.depths[32] == 32


FORMATS = (
    Format("PNG", (".png",), "png", {8: 8, 16: 16, 32: 8}, (b"\x89PNG\r\n\x1a\n",)),
    Format("JPEG", (".jpg", ".jpeg"), "jpeg", {8: 8, 16: 8, 32: 8}, has_alpha=False),
    Format(
        "TIFF", (".tif", ".tiff"), "tiff", {8: 8, 16: 16, 32: 32}, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        has_stacks=True,
    ),
    Format(
        ".npy", (".npy",), "npy", {8: 32, 16: 32, 32: 32}, (b"\x93NUMPY",),
        has_alpha=False, has_stacks=True, is_picture=False,
    ),
)  # fmt: skip


ENDINGS = tuple(ending for fmt in FORMATS for ending in fmt.endings)
"""All endings of files that can be written."""
USUAL_ENDINGS = join_words([fmt.endings[0] for fmt in FORMATS])
FORMAT_NAMES = join_words([fmt.name for fmt in FORMATS])
STACK_ENDINGS = join_words([fmt.endings[0] for fmt in FORMATS if fmt.has_stacks])
PICTURE_NAMES = join_words([fmt.name for fmt in FORMATS if fmt.is_picture])


def find_format(path: PurePath) -> Format:
    """Find the format that the ending of a file names.

    Raises:
        DataError: for another ending.

    >>> find_format(PurePath("new/photo.JPG")).name
    'JPEG'
    """
    for fmt in FORMATS:
        if path.suffix.lower() in fmt.endings:
            return fmt
    raise DataError(f"{path} has the ending {path.suffix!r}: name a file that ends in {', '.join(ENDINGS)}")


def check_source(path: str | Path) -> None:
    """Raise a DataError unless `path` is a file: call it before anything heavy is loaded."""
    hints = {FOLDER: ": give the path of one picture", MISSING: ": check the name of the picture"}
    problem = explain_unreadable(Path(path))
    if problem:
        raise DataError(f"{path} {problem}{hints.get(problem, '')}")
    check_name(Path(path))


def check_target(path: str | Path) -> None:
    """Raise a DataError unless a picture can be written to `path`: call it before a long computation."""
    find_format(Path(path))
    check_writable(Path(path))


def is_picture_file(path: PurePath) -> bool:
    """Whether the ending of a file is that of a picture, to be taken from a folder or an archive."""
    return any(fmt.is_picture and path.suffix.lower() in fmt.endings for fmt in FORMATS)


def load_codec(name: str) -> ModuleType:
    """Import a module of `codecs`."""
    return importlib.import_module(f"rgmkit.images.codecs.{name}")


def choose_codec(data: bytes) -> ModuleType:
    """Choose the codec of a file by its first bytes; Pillow is the default."""
    names = (fmt.codec for fmt in FORMATS if data.startswith(fmt.signatures))
    return load_codec(next(names, "pillow"))
