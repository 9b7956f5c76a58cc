"""Packages that few uses need: each is in an extra of rgmkit, which errors name."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from rgmkit.errors import ConfigError, RgmkitError

EXTRAS = {
    "accelerate": "distributed",
    "bm3d": "bm3d",
    "datasets": "data",
    "h5py": "published",
    "huggingface_hub": "hub",
    "imagecodecs": "codecs",
    "ptwt": "wavelet",
    "spandrel": "published",
    "torch_fidelity": "fid",
}
"""The extra of each optional package, by the name that is imported."""


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported, without importing it.

    >>> is_installed("numpy"), is_installed("no_such_package")
    (True, False)
    """
    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None


def install_command(package: str) -> str:
    """Return the command that installs an optional package.

    >>> install_command("ptwt")
    "pip install 'rgmkit[wavelet]'"
    """
    return f"pip install 'rgmkit[{EXTRAS[package]}]'"


def require(package: str, what: str, error: type[RgmkitError] = ConfigError, *, otherwise: str = "") -> None:
    """Raise an error unless an optional package is installed.

    Args:
        package: its name, in `EXTRAS`.
        what: needs it, for the message.
        error: the type of the error.
        otherwise: what the user can do without it, for the message.
    """
    command = install_command(package)
    if not is_installed(package):
        fix = f"{command}; {otherwise}" if otherwise else command
        raise error(f"{what} needs the package {package}, which is not installed: {fix}")
