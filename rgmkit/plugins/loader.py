"""Load plugins one by one: one that fails is reported, and the others still work."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from rgmkit.errors import PluginError, describe_cause, escape_controls
from rgmkit.plugins import hookspec
from rgmkit.plugins.component import Component
from rgmkit.runtime.foreign_code import contain


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from: an entry point of a distribution, or a file; `target` is its module."""

    entry: str
    distribution: str
    version: str
    load: Callable[[], Any]
    target: str = ""
    package: Distribution | None = None

    @staticmethod
    def of_entry(entry: EntryPoint) -> Source:
        """Describe an entry point, with the name and version of its distribution."""
        package = entry.dist
        try:
            version = package.version or ""  # type: ignore[union-attr]
        except Exception:  # metadata may be damaged or missing
            version = ""
        name = escape_controls(entry.name)
        return Source(name, read_name(package), escape_controls(version), entry.load, entry.value, package)

    @staticmethod
    def of_file(path: Path) -> Source:
        """Describe a Python file, whose name takes the place of the distribution's name."""
        entry = escape_controls(str(path))  # two folders may both have an ops.py
        return Source(entry, escape_controls(path.name), "", lambda: _import_file(path), _module_name(path))


def read_name(package: Distribution | None) -> str:
    """Return the name of a distribution, whose metadata may be damaged or missing."""
    try:
        return escape_controls(package.metadata["Name"] or "unknown")  # type: ignore[union-attr]
    except Exception:
        return "unknown"


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


def load(source: Source) -> list[Component] | Failure:
    """Load a plugin and return its components, or the stage and cause of its failure.

    Each plugin has a pluggy manager of its own, so that none can disturb another.
    """
    stage, manager = "import", pluggy.PluginManager(hookspec.GROUP)
    manager.add_hookspecs(hookspec)
    try:
        with contain(), redirect_stdout(sys.stderr):  # stdout carries results only
            plugin = source.load()
            stage = "registration"
            manager.register(plugin, name=f"{source.distribution}:{source.entry}")
            stage = "the check of its hooks"
            _check_hooks(manager, plugin)
            stage = "the call of its hook"
            components = _check_components(manager.hook.rgmkit_components())
            return [
                replace(c, summary=escape_controls(c.summary), distribution=source.distribution, version=source.version)
                for c in components
            ]
    except Exception as cause:
        return Failure(source.entry, source.distribution, stage, cause)


def _check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    callers = manager.get_hookcallers(plugin)
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
        component.target_name  # noqa: B018 - of a class, it may fail
    for (kind, name), count in Counter((c.kind, c.name) for c in components).items():
        if count > 1:
            raise PluginError(f"it provides the {kind} {name!r} twice")
    return list(components)


def _module_name(path: Path) -> str:
    return f"rgmkit_file_{path.stem}_{hashlib.sha1(os.fsencode(path), usedforsecurity=False).hexdigest()[:8]}"


def _import_file(path: Path) -> ModuleType:
    """Import a file as a module of its own; its folder is not put on the import path."""
    name = _module_name(path)
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
