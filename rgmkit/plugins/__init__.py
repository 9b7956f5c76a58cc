"""Find components by kind and name, in the installed plugins and the plugin files that were added."""

from __future__ import annotations

from pathlib import Path

from rgmkit.deprecation import renamed_attributes
from rgmkit.plugins.component import KINDS, Component
from rgmkit.plugins.hookspec import hookimpl
from rgmkit.plugins.loader import Failure
from rgmkit.plugins.registry import find_culprit, installed, load_target

__all__ = [
    "KINDS", "Component", "Failure", "add_file", "address", "find", "find_culprit", "hookimpl", "list_clashes",
    "list_components", "list_failures", "load_class", "lookup",
]  # fmt: skip

__getattr__ = renamed_attributes(
    __name__, {"found": "list_components", "failures": "list_failures", "clashes": "list_clashes"}
)


def lookup(kind: str, name: str) -> Component:
    """Look up the component of a kind by its `name`, or `name@distribution`.

    Raises:
        PluginError: if no plugin provides it, or several do.

    >>> lookup("solver", "cascade").distribution
    'rgmkit'
    """
    return installed().lookup(kind, name)


def load_class(kind: str, name: str) -> type:
    """Import the class of a component.

    Raises:
        PluginError: as `lookup`, or if the class cannot be imported.
    """
    return load_target(lookup(kind, name))


def list_components(kind: str | None = None) -> list[Component]:
    """List the components of a kind, or all of them, without importing any."""
    return installed().list_components(kind)


def find(name: str) -> list[Component]:
    """Find the components with a name, whatever their kind.

    Raises:
        PluginError: if there is none, or the name is ambiguous within a kind.

    >>> [component.kind for component in find("cascade")]
    ['solver']
    """
    return installed().find(name)


def address(component: Component) -> str:
    """Return the shortest name under which `lookup` finds the component."""
    return installed().address(component)


def list_failures() -> list[Failure]:
    """List the plugins that could not be loaded, each with the stage and the cause."""
    return list(installed().failures)


def list_clashes() -> list[str]:
    """List the names that several plugins provide, one line for each."""
    return list(installed().clashes)


def add_file(path: str | Path) -> None:
    """Load the plugin in a Python file, once.

    Raises:
        PluginError: if the file is missing or fails.
    """
    installed().add_file(path)
