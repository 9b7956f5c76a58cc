"""Check the names of files, and write files, for all commands."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgmkit.errors import ConfigError, DataError
from rgmkit.runtime.files import check_writable, write_aside

if TYPE_CHECKING:
    from rgmkit.core.degradation import Degradation
    from rgmkit.images import Picture


def fresh_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise a ConfigError if `folder` is a file, or holds files that nobody asked to overwrite."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: name a folder with -o")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ConfigError(f"{folder} is not empty: name another folder with -o, or give --overwrite")
    check_writable(folder / "a file")


def check_output(path: Path, endings: tuple[str, ...]) -> None:
    """Raise a DataError unless a file with one of `endings` can be written to `path`."""
    if path.suffix.lower() not in endings:
        raise DataError(f"{path} has the ending {path.suffix!r}: name a file that ends in {' or '.join(endings)}")
    check_writable(path)


def check_apart(out: Path, image: Path, what: str = "picture") -> None:
    """Raise a ConfigError if the answer would take the place of the picture that it is made of, or measured with."""
    if out.resolve() == image.resolve():
        raise ConfigError(f"{out} is the {what} itself: name another file with -o")


def write_bytes(path: Path, data: bytes) -> None:
    """The file `path`, whole or not at all."""
    with write_aside(path) as part:
        part.write_bytes(data)


def npz(**arrays: Any) -> bytes:
    """Arrays as the content of an .npz file; the same arrays give the same bytes."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def cropped(picture: Picture, degradation: Degradation) -> tuple[Picture, str | None]:
    """The part of a picture that the degradation can take, and a word if it is not all of it."""
    from rgmkit.resolve import usable_size

    old, new = tuple(picture.x.shape[-2:]), usable_size(degradation, tuple(picture.x.shape))
    if new == old:
        return picture, None
    note = f"cropped from {old[0]}x{old[1]} to {new[0]}x{new[1]}, a size that {degradation.title} can take"
    return picture.crop(*new), note
