"""The largest picture that is decoded: a small file may hold a giant one, which would fill the memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from PIL import Image

from rgmkit.errors import ConfigError, DataError, show_value

MAX_PIXELS = 100_000_000
VARIABLE = "RGMKIT_MAX_PIXELS"
RAISE = f"if that is right, raise the limit with --max-pixels, max_pixels in Python or YAML, or {VARIABLE}"
SAMPLES = 4  # of a pixel, at most: further bands count as further pixels
BYTES = 16  # of a pixel, at most
RATIO = 100  # numbers that are compressed further than this are a bomb, or all alike
_lock = Lock()


class TooLargeError(DataError):
    """A picture has more pixels than the limit."""


def choose_limit(given: int | None = None) -> int:
    """Return the limit that is given, that of the environment variable RGMKIT_MAX_PIXELS, or the default.

    >>> choose_limit(10**9)
    1000000000
    """
    text = os.environ.get(VARIABLE)
    if given is not None or text is None:
        return MAX_PIXELS if given is None else given
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{VARIABLE} is {show_value(text)}: give a number of pixels")
    return int(text)


def check_pixels(limit: int, *sides: int, samples: int = 1) -> None:
    """Raise a DataError if a picture, or all frames of a stack, would have more pixels than the limit.

    >>> check_pixels(100, 12, 12)
    Traceback (most recent call last):
    rgmkit.images.limits.TooLargeError: has 144 pixels, and no more than 100 are read: if that is right, raise ...
    """
    pixels = math.prod(sides) * math.ceil(samples / SAMPLES)
    if pixels > limit:
        raise TooLargeError(f"has {pixels} pixels, and no more than {limit} are read: {RAISE}")


def check_ratio(size: int, compressed: int) -> None:
    """Raise a DataError if numbers of `size` bytes are compressed so much that the file may be a bomb.

    >>> check_ratio(10**6, 100)
    """
    limit = choose_limit()
    if size > max(RATIO * compressed, BYTES * limit):
        raise DataError(f"holds {size} bytes in {compressed}, more than pictures of {limit} pixels: {RAISE}")


@contextmanager
def without_pillows_limit() -> Iterator[None]:
    """Suspend the limit of Pillow, which is fixed, while a file is opened; one thread at a time."""
    with _lock:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
