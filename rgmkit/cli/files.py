"""Check the files of a command before torch is imported, and read true images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rgmkit.cli.common import say
from rgmkit.errors import ConfigError, DataError, IncompatibleError
from rgmkit.images.formats import check_source, check_target
from rgmkit.runtime.files import check_writable

if TYPE_CHECKING:
    from rgmkit.core.degradation import Degradation
    from rgmkit.images import Picture


def check_pictures(image: Path, outputs: Sequence[Path], *, truth: Path | None = None) -> None:
    """Check that the inputs exist, and that the outputs can be written and would replace none of them.

    Raises:
        DataError, ConfigError: if a check fails.
    """
    for out in outputs:
        check_target(out)
        for path, what in ((image, "picture"), (truth, "true image")):
            if path is not None and out.resolve() == path.resolve():
                raise ConfigError(f"{out} is the {what} itself: name another file with -o")
    for path in (image, truth):
        if path is not None:
            check_source(path)


def check_output(path: Path, endings: tuple[str, ...]) -> None:
    """Raise a DataError unless a file with one of `endings` can be written to `path`."""
    if path.suffix.lower() not in endings:
        raise DataError(f"{path} has the ending {path.suffix!r}: name a file that ends in {' or '.join(endings)}")
    check_writable(path)


def check_new_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise a ConfigError if `folder` is a file, or holds files and `overwrite` is not set."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: name a folder with -o")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ConfigError(f"{folder} is not empty: name another folder with -o, or give --overwrite")
    check_writable(folder / "a file")


def read_true_image(path: Path, degradation: Degradation, *, shape: tuple[int, ...] | None = None) -> Picture:
    """Read an image, cropped to a size that the degradation can take, and print what was left out.

    Raises:
        DataError: if it cannot be read.
        IncompatibleError: if it has another shape than `shape`, that of the image that was measured.
    """
    from rgmkit import images
    from rgmkit.resolve import usable_size

    picture = images.read(path)
    height, width = picture.x.shape[-2:]
    new = usable_size(degradation, tuple(picture.x.shape))
    if new != (height, width):
        note = f"cropped from {height}x{width} to {new[0]}x{new[1]}, a size that {degradation.title} can take"
        picture = replace(picture.crop(*new), notes=(*picture.notes, note))
    if shape is not None and tuple(picture.x.shape) != shape:
        raise IncompatibleError(
            f"--truth {path} has shape {tuple(picture.x.shape)}, and the measurement is of an image of shape "
            f"{shape}: give the image that was measured"
        )
    for note in picture.notes:
        say(f"note: {path}: {note}")
    return picture
