"""`rgmkit plugins check`: find what is to be checked, check it, and print a table."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rgmkit import plugins
from rgmkit.config import Spec, build, parse_spec
from rgmkit.errors import ConfigError, PluginError
from rgmkit.plugins import Component
from rgmkit.testing.running import KINDS, WITHOUT_SHAPE, Result, find_shape, run_checks

OUTCOMES = ("passed", "failed", "expected failure", "skipped")
WIDTH, INDENT = 80, 18
LABELS = {"expected": "expected", "seen": "seen", "cause": "likely cause"}


@dataclass(frozen=True)
class Target:
    """A component that is checked, and the options it is constructed with."""

    component: Component
    options: dict[str, Any]


@dataclass(frozen=True)
class Report:
    """The results of the checks of a component, on images of a shape."""

    component: Component
    made: str
    shape: tuple[int, ...] | None
    results: list[Result]

    @property
    def failed(self) -> bool:
        """Whether a check failed, other than expected."""
        return any(result.outcome == "failed" for result in self.results)

    def facts(self) -> dict[str, Any]:
        """Return what is printed as JSON."""
        return {
            "kind": self.component.kind,
            "name": plugins.address(self.component),
            "distribution": self.component.distribution,
            "component": self.made,
            "shape": self.shape,
            "passed": not self.failed,
            "checks": [asdict(result) for result in self.results],
        }

    def text(self) -> str:
        """Return a table in 80 columns: a line for each check, and what was expected and seen where one failed."""
        on = f", images {self.shape}" if self.shape else ""
        title = f"{self.component.kind} {self.made} of {self.component.origin}{on}"
        counts = Counter[str](result.outcome for result in self.results)
        total = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
        if counts["failed"] > 1:
            total += ": mend the first one first, others may follow from it"
        return "\n".join([title, *(line for result in self.results for line in _format(result)), f"  {total}"])


def find_targets(name: str | None) -> list[Target]:
    """Find the components that a name, a file or a distribution stands for; of added files without a name.

    Raises:
        ConfigError: if there are no checks for it.
        PluginError: if nothing has this name.
    """
    if name is None:
        added = [c for c in plugins.list_components() if c.distribution.endswith(".py")]
        if not added:
            raise ConfigError("there is nothing to check: give a NAME, or a file with --plugin FILE.py")
        return _checkable(added, "the file")
    if name.endswith(".py"):
        plugins.add_file(name)
        file = Path(name).name
        return _checkable([c for c in plugins.list_components() if c.distribution == file], file)
    own = [c for c in plugins.list_components() if _canonical(c.distribution) == _canonical(name)]
    if own:
        return _checkable(own, name)
    spec = parse_spec(name)
    found = [Target(component, dict(spec.options)) for component in plugins.find(spec.name)]
    return [target for target in found if target.component.kind in KINDS] or _refuse(name, found)


def check(target: Target, shape: tuple[int, ...] | None) -> Report:
    """Construct a component and run its checks.

    Raises:
        ConfigError: if its options do not suffice or are wrong.
    """
    component = target.component
    made = build(component.kind, Spec(plugins.address(component), target.options))
    results = run_checks(made, shape)
    shape = None if component.kind in WITHOUT_SHAPE else shape or find_shape(made)
    return Report(component, repr(made), shape, results)


def read_shape(text: str | None) -> tuple[int, ...] | None:
    """Read the option --shape.

    Raises:
        ConfigError: if it is not of the form C,H,W.

    >>> read_shape("3,12,8")
    (3, 12, 8)
    """
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,3}(,[1-9]\d{0,3}){2}", text):
        raise ConfigError(f"--shape is {text!r}: give C,H,W, such as 3,12,8")
    return tuple(int(side) for side in text.split(","))


def _checkable(components: list[Component], what: str) -> list[Target]:
    targets = [Target(component, {}) for component in components if component.kind in KINDS]
    if not targets:
        kinds = ", ".join(KINDS)
        raise ConfigError(f"{what} has no component to check: give the name of a component of kind {kinds}")
    return targets


def _refuse(name: str, found: list[Target]) -> list[Target]:
    kind = found[0].component.kind
    raise PluginError(f"{kind} {name!r} cannot be checked: there are checks of {', '.join(KINDS)}")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _format(result: Result) -> list[str]:
    word = result.outcome.upper() if result.outcome == "failed" else result.outcome
    if result.outcome == "skipped":
        word = f"skipped: {result.seen}"
    first = textwrap.wrap(word, WIDTH - 24, subsequent_indent=" " * 24)
    lines = [f"  {result.check:<22}{first[0]}", *first[1:]]
    if result.outcome in ("failed", "expected failure"):
        for key, label in LABELS.items():
            label = "reason" if key == "cause" and result.outcome == "expected failure" else label
            indent = " " * (INDENT + 2)
            text = textwrap.wrap(getattr(result, key), WIDTH, initial_indent=indent, subsequent_indent=indent)
            lines += [f"    {label:<{INDENT - 2}}{text[0].strip()}", *text[1:]] if text else []
    return lines
