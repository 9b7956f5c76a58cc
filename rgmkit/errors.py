"""Errors that a user can act on: each message names the thing, the value and the fix.

The command line prints them as one line and exits with code 2. Any other exception is a bug and
keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

OPTION = re.compile(r"(prior|solver)[.\[]")  # an option path at the start of a message, which `naming` prefixes


NO_MEMORY = re.compile(
    "out of memory|allocate memory|not enough memory|ALLOC_FAILED|Storage size calculation overflowed"
)
LONGEST = 2000  # characters of a message
SHOWN = 80  # most characters of a value in a message
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class RgmkitError(Exception):
    """Base of every error that rgmkit raises on purpose: its text is one line that a terminal can show."""

    def __str__(self) -> str:
        return shorten(escape_controls(" ".join(super().__str__().split("\n"))))


class ConfigError(RgmkitError):
    """An option or argument is unknown, missing or ill-typed."""


class IncompatibleError(RgmkitError):
    """Two things do not fit together: a solver and a prior, an operator and an image size."""


class PluginError(RgmkitError):
    """A plugin could not be loaded, or no plugin provides a component."""


class CheckpointError(RgmkitError):
    """A model folder or checkpoint is missing, truncated, or does not match its configuration."""


class DataError(RgmkitError):
    """A file, image or data set that cannot be read, written or used."""


class TrainingError(RgmkitError):
    """A training run had to stop: a loss is not finite, the disk is full. Earlier checkpoints are intact."""


class AccuracyWarning(UserWarning):
    """An iterative method stopped before it reached the requested accuracy."""


class PriorWarning(UserWarning):
    """A prior does not model what the degradation has lost."""


class RangeWarning(UserWarning):
    """The values of a measurement do not look like those of an image in [0, 1]."""


def suggest(name: object, known: Iterable[str]) -> str:
    """List the known names and suggest the nearest, as the end of an error message.

    >>> suggest("psrn", ["psnr", "ssim"])
    "did you mean 'psnr'? (there are psnr, ssim)"
    """
    names = list(known)
    near = find_nearest(name, names)
    return f"{f'did you mean {near!r}? ' if near else ''}(there are {', '.join(names) or 'none'})"


def find_nearest(name: object, known: Iterable[str]) -> str | None:
    """Find the known name whose spelling is closest to `name`; None if none is similar.

    >>> find_nearest("psrn", ["psnr", "ssim"])
    'psnr'
    """
    return next(iter(difflib.get_close_matches(str(name), list(known), 1)), None)


def show_value(value: object) -> str:
    """Show a value in an error message, cut to one short line.

    >>> show_value([1, 2]), show_value("long " * 50)
    ('[1, 2]', "'long long long long long long long long…")
    """
    text = " ".join(show_safely(value, repr).split())
    return text if len(text) <= SHOWN else text[: SHOWN // 2] + "…"


def describe_error(error: BaseException) -> str:
    """Describe the error of another library in one short line.

    >>> describe_error(ZeroDivisionError()), describe_error(ValueError("too\\nlong"))
    ('ZeroDivisionError', 'too long')
    """
    return read_message(error)[:200] or escape_controls(type(error).__name__)


def describe_cause(cause: BaseException) -> str:
    """Describe an error in one line, with its class unless it is one of rgmkit's own.

    >>> describe_cause(KeyError("a"))
    "KeyError: 'a'"
    """
    text, name = read_message(cause), escape_controls(type(cause).__name__)
    return text if isinstance(cause, RgmkitError) and text else f"{name}: {text}".rstrip(": ")


def read_message(error: BaseException) -> str:
    """Return the text of an error in one line.

    >>> read_message(ValueError("two\\nlines"))
    'two lines'
    """
    return escape_controls(" ".join(show_safely(error).split()))


def show_safely(thing: object, show: Callable[[Any], str] = str) -> str:
    """Return the text of an object of a third party; the name of its class if `show` fails.

    >>> show_safely(1.5)
    '1.5'
    """
    try:
        return show(thing)
    except BaseException:  # not even SystemExit may leave the text of an error
        return f"<{type(thing).__name__}>"


def shorten(text: str) -> str:
    """Leave out the middle of a text that is too long for a message.

    >>> len(shorten("x" * 5000)) == LONGEST
    True
    """
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]}…{text[1 - half :]}"


def escape_controls(text: str) -> str:
    r"""Escape what a terminal would obey or cannot show: control characters, marks of direction, surrogates.

    >>> escape_controls("red:\x1b[31m")
    'red:\\x1b[31m'
    """
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short: PyTorch raises a RuntimeError.

    >>> is_out_of_memory(RuntimeError("CPU out of memory")), is_out_of_memory(RuntimeError("tensors share memory"))
    (True, False)
    """
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(NO_MEMORY.search(str(error))))


def join_words(words: Sequence[str]) -> str:
    """Join words with commas and a final "or".

    >>> join_words([".png", ".jpg", ".tif"])
    '.png, .jpg or .tif'
    """
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Prefix errors raised in the block with the place in the configuration where they arise.

    >>> with naming("method[0]"):
    ...     raise ConfigError("solver.step is 'far': give a number")
    Traceback (most recent call last):
    rgmkit.errors.ConfigError: method[0].solver.step is 'far': give a number
    """
    try:
        yield
    except RgmkitError as error:
        text = str(error)
        if text.startswith(path):
            raise
        place = f"{path.removesuffix('.' + text.partition(' ')[0])}." if OPTION.match(text) else f"{path}: "
        raise type(error)(place + text) from error
