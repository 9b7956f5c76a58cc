"""The classes of the built-in components as attributes of a module, such as `rgmkit.priors.TV`, imported on demand.

`python -m rgmkit.plugins.classes` writes the stubs of these modules, which tell editors and type checkers the options.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rgmkit.plugins import Component, list_components, load_class
from rgmkit.plugins.registry import BUILT_IN

STUBS = {"degradation": "degradations.pyi", "prior": "priors.pyi", "solver": "solvers/__init__.pyi"}
"""The stub of each kind that has such a module."""

HEAD = "# ruff: noqa: I001\n# Written by `python -m rgmkit.plugins.classes`; a test keeps it current.\n\n"


def list_classes(kind: str) -> dict[str, Component]:
    """Return the built-in components of a kind by the names of their classes.

    If two classes have the same name, that of the component without a dot in its name counts.

    >>> list_classes("prior")["Tikhonov"].name
    'tikhonov'
    """
    components = [component for component in list_components(kind) if component.distribution == BUILT_IN]
    by_name: dict[str, Component] = {}
    for component in sorted(components, key=lambda c: "." in c.name):
        by_name.setdefault(str(component.target).rpartition(":")[2], component)
    return dict(sorted(by_name.items()))


def attach(module: str, kind: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the `__getattr__` and `__dir__` of a module that holds the classes of a kind (PEP 562)."""

    def get(name: str) -> Any:
        if name == "__all__":
            return list(list_classes(kind))
        known = list_classes(kind) if name[:1].isupper() else {}  # the import system asks for submodules first
        if name not in known:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return load_class(kind, known[name].name)

    return get, lambda: list(list_classes(kind))


def write_stub(kind: str) -> str:
    """Write the stub of the module of a kind."""
    places = sorted(str(component.target).split(":") for component in list_classes(kind).values())
    return HEAD + "".join(f"from {place} import {name} as {name}\n" for place, name in places)


if __name__ == "__main__":
    for _kind, _stub in STUBS.items():
        (Path(__file__).parents[1] / _stub).write_text(write_stub(_kind), encoding="utf-8")
