"""How components are found: by kind and name, among the installed plugins and the files that were added."""

from __future__ import annotations

from pathlib import Path

from rgmkit.plugins.component import KINDS, Component
from rgmkit.plugins.hookspec import hookimpl
from rgmkit.plugins.loader import Failure
from rgmkit.plugins.registry import installed, load_target

__all__ = [
    "KINDS", "Component", "Failure", "add_file", "address", "clashes", "failures", "find", "found", "hookimpl",
    "load_class", "lookup",
]  # fmt: skip


def lookup(kind: str, name: str) -> Component:
    """The component of a kind that is called `name`, or `name@distribution`.

    Raises:
        PluginError: if nobody gives it (with the causes of plugins that failed), or more than one do.

    >>> lookup("solver", "cascade").distribution
    'rgmkit'
    """
    return installed().lookup(kind, name)


def load_class(kind: str, name: str) -> type:
    """The class behind a name, imported now.

    Raises:
        PluginError: as `lookup`, or if the class cannot be imported.
    """
    return load_target(lookup(kind, name))


def found(kind: str | None = None) -> list[Component]:
    """The components of a kind, or all; none of them is imported."""
    return installed().found(kind)


def find(name: str) -> list[Component]:
    """The components of a name, whatever their kind.

    Raises:
        PluginError: if there is none, or more than one of a kind.

    >>> [component.kind for component in find("cascade")]
    ['solver']
    """
    return installed().find(name)


def address(component: Component) -> str:
    """The shortest name that `lookup` finds the component by."""
    return installed().address(component)


def failures() -> list[Failure]:
    """The plugins that could not be loaded, with the stage and the cause."""
    return list(installed().failures)


def clashes() -> list[str]:
    """One line for each name that more than one plugin gives."""
    return list(installed().clashes)


def add_file(path: str | Path) -> None:
    """Load the plugin in a Python file, once.

    Raises:
        PluginError: if the file is missing or fails.
    """
    installed().add_file(path)
