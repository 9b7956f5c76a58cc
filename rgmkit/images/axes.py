"""The axes of an array, one letter each: Y rows, X columns, C channels or bands; Z, T and B images of their own.

"ZYX" is a stack of grey slices, "TCYX" a film of several channels, "YXC" a colour picture.
"""

from __future__ import annotations

from rgmkit.errors import ConfigError, DataError

FRAMES, IMAGE = "ZTB", "CYX"
MEANING = "Y rows, X columns, C channels or bands, Z slices, T times, B images"


def check_axes(axes: str, shape: tuple[int, ...] | None = None, name: str = "the image") -> str:
    """Return the axes in capital letters, after checking them, and that they fit an array of `shape`.

    Raises:
        ConfigError: for a letter that is unknown or repeated, or if Y or X is missing.
        DataError: for another number of axes.

    >>> check_axes("zyx", (5, 64, 64))
    'ZYX'
    """
    letters = str(axes).upper()
    if set(letters) - set(FRAMES + IMAGE) or len(set(letters)) != len(letters) or not set("YX") <= set(letters):
        raise ConfigError(f"axes is {axes!r}: give one letter for each axis, Y and X among them ({MEANING})")
    if shape is not None and len(letters) != len(shape):
        raise DataError(f"axes {axes} are {len(letters)}, and {name} has {len(shape)}, {shape}: give a letter for each")
    return letters


def split_axes(axes: str) -> tuple[str, str]:
    """Return the axes of frames, and all axes in the order frames, channels, rows, columns.

    >>> split_axes("YXCTZ")
    ('TZ', 'TZCYX')
    """
    frames = "".join(letter for letter in axes if letter not in IMAGE)
    return frames, frames + "".join(letter for letter in IMAGE if letter in axes)


def insert_channels(axes: str, *, last: bool) -> str:
    """Return the axes with C: as the last, or before Y and X.

    >>> insert_channels("ZYX", last=False), insert_channels("ZYX", last=True)
    ('ZCYX', 'ZYXC')
    """
    if "C" in axes:
        return axes
    if last:
        return axes + "C"
    first = min(axes.index("Y"), axes.index("X"))
    return axes[:first] + "C" + axes[first:]
