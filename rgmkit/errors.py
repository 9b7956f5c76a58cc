"""Errors that a user can act on: the message names the thing, the value and the fix.

The command line prints them as one line and exits with code 2; anything else is a bug and
keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

OPTION = re.compile(r"(prior|solver)[.\[]")  # a path at the beginning of an error, to be made longer


class RgmkitError(Exception):
    """Base of every error that rgmkit raises on purpose."""


class ConfigError(RgmkitError):
    """A configuration, an option or an argument that is unknown, missing or ill-typed."""


class IncompatibleError(RgmkitError):
    """Two things that don't fit: a solver and a prior, an operator and an image size."""


class PluginError(RgmkitError):
    """A plugin that could not be loaded, or a component that nobody gives."""


class CheckpointError(RgmkitError):
    """A model folder or checkpoint that is missing, cut, or of another configuration."""


class DataError(RgmkitError):
    """A file, image or data set that cannot be read, written or used."""


class TrainingError(RgmkitError):
    """A training run that had to stop: a loss that is not finite, a full disk. Earlier checkpoints are whole."""


class AccuracyWarning(UserWarning):
    """An iterative method stopped before it reached the accuracy that was asked for."""


def suggest(name: object, known: Iterable[str]) -> str:
    """End an error message with the nearest known name and all of them.

    >>> suggest("psrn", ["psnr", "ssim"])
    "did you mean 'psnr'? (there are psnr, ssim)"
    """
    names = list(known)
    near = difflib.get_close_matches(str(name), names, 1)
    return f"{f'did you mean {near[0]!r}? ' if near else ''}(there are {', '.join(names) or 'none'})"


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Begin the errors of the block with the place in a configuration that they come from.

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
        raise type(error)(f"{path}.{text}" if OPTION.match(text) else f"{path}: {text}") from error
