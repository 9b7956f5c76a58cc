"""Where plugins come from, and why one failed to load."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from rgmkit.errors import PluginError

CAUGHT = (Exception, SystemExit)
"""What a plugin may raise without taking anything else down."""


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from: an entry point of a distribution, or a file."""

    entry: str
    distribution: str
    version: str
    load: Callable[[], Any]

    @staticmethod
    def of_entry(entry: EntryPoint) -> Source:
        """Describe an entry point, with the name and version of its distribution."""
        try:
            name, version = entry.dist.metadata["Name"], entry.dist.version  # type: ignore[union-attr]
        except CAUGHT:  # metadata may be damaged or missing
            name, version = None, None
        return Source(entry.name, name or "unknown", version or "", entry.load)

    @staticmethod
    def of_file(path: Path) -> Source:
        """Describe a Python file; its name stands for that of a distribution."""
        return Source(str(path), path.name, "", lambda: _import_file(path))  # two folders may both have an ops.py


@dataclass(frozen=True)
class Failure:
    """A plugin that could not be loaded: at which stage, and why."""

    entry: str
    distribution: str
    stage: str
    cause: BaseException

    @property
    def reason(self) -> str:
        """The cause in one line."""
        return describe_cause(self.cause)

    def __str__(self) -> str:
        return f"plugin {self.entry} of {self.distribution} failed at {self.stage}: {self.reason}"


def describe_cause(cause: BaseException) -> str:
    """Describe an exception in one line.

    >>> describe_cause(KeyError("a"))
    "KeyError: 'a'"
    """
    text = " ".join(str(cause).split())
    if isinstance(cause, PluginError):
        return text
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def _import_file(path: Path) -> ModuleType:
    """Import a file as a module of its own; its folder is not put on the import path."""
    name = f"rgmkit_file_{path.stem}_{hashlib.sha1(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file: give a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # classes that are pickled for data workers are looked up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
