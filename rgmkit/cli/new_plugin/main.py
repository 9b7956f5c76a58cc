"""Write a package with one component, from the templates beside this file."""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rgmkit import plugins
from rgmkit.errors import ConfigError, DataError
from rgmkit.runtime.files import write_file

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Kind:
    """What a new component of a kind does, and what its example shows."""

    summary: str
    article: str = "a"
    toy: bool = False  # whether a network is trained
    doc: str = "Restore digits with noise."
    degradation: str = 'rgmkit.degradation("gaussian-noise", noise=0.2)'
    priors: str = '("tv",)'
    solver: str = ""


KINDS = {
    "degradation": Kind(
        "Darker towards the corners",
        toy=True,
        doc="Restore held-out digits, with total variation and with the toy network.",
        degradation='rgmkit.degradation("{name}", noise=0.1)',
        priors='("tv", "./toy")',
    ),
    "noise": Kind(
        "Noise that grows with the signal",
        toy=True,
        doc="Restore held-out digits with the toy network.",
        degradation='rgmkit.degradation("gaussian-noise", noise=rgmkit.noise("{name}"))',
        priors='("./toy",)',
    ),
    "prior": Kind("Smoothed total variation", priors='("{name}",)'),
    "solver": Kind("Proximal gradient descent in a few lines", solver=', solver="{name}"'),
    "metric": Kind("Mean absolute error"),
    "objective": Kind("Hinge loss", article="an", toy=True),
}


def write_package(name: str, kind: str, folder: Path | None = None, *, overwrite: bool = False) -> list[str]:
    """Write a package with a component of a name; return the commands that install, check and use it.

    Raises:
        ConfigError: if the name cannot be used.
        DataError: if a file exists and `overwrite` is False, or cannot be written.
    """
    facts = _describe(name, kind)
    folder = Path(facts["distribution"]) if folder is None else folder
    _check_name(name, kind, facts["package"], folder)
    commands = [
        f"cd {folder}",
        'pip install -e ".[dev]"',
        f"rgmkit plugins check {name}",
        "pytest",
        *(["rgmkit train toy.yaml -o toy"] if KINDS[kind].toy else []),
        "python example.py",
    ]
    files = _render(facts | {"commands": commands[1:]})
    existing = [path for path in files if (folder / path).exists()]
    if existing and not overwrite:
        raise DataError(f"{folder / existing[0]} exists: choose another folder with -o, or --overwrite")
    for path, text in files.items():
        write_file(folder / path, text)
    return commands


def _describe(name: str, kind: str) -> dict[str, Any]:
    """Return what the templates need to know."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"the name is {name!r}: use lower-case letters, digits and single hyphens, such as lens-flare"
        )
    if name.startswith("rgmkit"):
        raise ConfigError(f"the name is {name!r}: leave out rgmkit, it is added to the name of the package")
    module = name.replace("-", "_")
    cls = "".join(part.capitalize() for part in name.split("-"))
    if keyword.iskeyword(module) or keyword.iskeyword(cls):
        raise ConfigError(f"the name is {name!r}, a keyword of Python: choose another one")
    names = {"distribution": f"rgmkit-{name}", "package": f"rgmkit_{module}", "module": module, "cls": cls}
    about = {key: text.format(name=name) if isinstance(text, str) else text for key, text in vars(KINDS[kind]).items()}
    return {"name": name, "kind": kind, "version": ".".join(version("rgmkit").split(".")[:2])} | names | about


def _check_name(name: str, kind: str, package: str, folder: Path) -> None:
    """Raise a ConfigError if a component or a package has this name, other than an earlier version of itself."""
    for component in plugins.list_components(kind):
        if component.name == name and component.distribution != f"rgmkit-{name}":
            raise ConfigError(f"{kind} {name!r} exists already, in {component.origin}: choose another name")
    found = importlib.util.find_spec(package)
    own = (folder / "src" / package / "__init__.py").resolve()
    if found is not None and (found.origin is None or Path(found.origin).resolve() != own):
        raise ConfigError(f"a package {package} is installed already: choose another name")


def _render(facts: dict[str, Any]) -> dict[str, str]:
    """Return the text of each file of the package, by its path."""
    source = f"src/{facts['package']}"
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        ".github/workflows/ci.yml": "ci.yml",
        f"{source}/__init__.py": "package.py",
        f"{source}/{facts['module']}.py": f"{facts['kind']}.py",
        f"tests/test_{facts['module']}.py": "test.py",
        "example.py": "example.py",
    }
    if facts["toy"]:
        templates["toy.yaml"] = f"toy_{facts['kind']}.yaml"
    environment = Environment(
        loader=PackageLoader(__package__ or ""),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # these are no web pages
    )
    return {path: environment.get_template(f"{name}.jinja").render(facts) for path, name in templates.items()}
