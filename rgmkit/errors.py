"""Errors that a user can act on: the message names the thing, the value and the fix.

The command line prints them as one line and exits with code 2; anything else is a bug and
keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
