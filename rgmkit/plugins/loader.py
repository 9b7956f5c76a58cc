"""Load plugins one by one: one that fails is unregistered and reported, and the others still work."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from rgmkit.errors import PluginError
from rgmkit.plugins import hookspec
from rgmkit.plugins.component import Component

CAUGHT = (Exception, SystemExit)
"""What a plugin may raise without stopping the program."""


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
        """Describe a Python file, whose name takes the place of the distribution's name."""
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


class Loader:
    """Load plugins into one pluggy manager."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspec.GROUP)
        self.manager.add_hookspecs(hookspec)

    def load(self, source: Source) -> list[Component] | Failure:
        """Load a plugin and return its components, or the stage and cause of its failure."""
        stage, plugin, others = "import", None, self.manager.get_plugins()
        try:
            plugin = source.load()
            stage = "registration"
            self.manager.register(plugin, name=f"{source.distribution}:{source.entry}")
            stage = "the check of its hooks"
            self._check_hooks(plugin)
            stage = "the call of its hook"
            components = _check_components(self.manager.subset_hook_caller("rgmkit_components", others)())
            return [replace(c, distribution=source.distribution, version=source.version) for c in components]
        except CAUGHT as cause:
            if plugin is not None and plugin not in others and self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            return Failure(source.entry, source.distribution, stage, cause)

    def _check_hooks(self, plugin: Any) -> None:
        callers = self.manager.get_hookcallers(plugin)
        if not callers:
            raise PluginError("it implements no hook: define rgmkit_components() and decorate it with @rgmkit.hookimpl")
        for caller in callers:
            if not caller.has_spec():
                raise PluginError(f"unknown hook {caller.name!r}: the hook is named 'rgmkit_components'")


def _check_components(returned: list[Any]) -> list[Component]:
    """Check what the hook of one plugin returned: pluggy wraps it in a list, which is empty if it was None."""
    if not returned:
        raise PluginError("rgmkit_components returned None: return a list of rgmkit.Component")
    (components,) = returned
    if not isinstance(components, (list, tuple)):
        raise PluginError(f"rgmkit_components returned {components!r}: return a list of rgmkit.Component")
    for component in components:
        if not isinstance(component, Component):
            raise PluginError(f"rgmkit_components returned {component!r} in its list: put rgmkit.Component there")
    for (kind, name), count in Counter((c.kind, c.name) for c in components).items():
        if count > 1:
            raise PluginError(f"it provides the {kind} {name!r} twice")
    return list(components)


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
