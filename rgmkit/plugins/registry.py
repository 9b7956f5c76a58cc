"""Registry of components: which plugin provides a name, which one keeps it in a clash, and why a name is missing."""

from __future__ import annotations

import logging
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable
from contextlib import redirect_stdout
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path

from rgmkit.deprecation import COMPONENTS
from rgmkit.errors import PluginError, describe_cause
from rgmkit.plugins.component import BASES, KINDS, Component
from rgmkit.plugins.hookspec import GROUP
from rgmkit.plugins.loader import Failure, Source, load, read_name
from rgmkit.plugins.synonyms import find_meant
from rgmkit.runtime.foreign_code import contain

BUILT_IN, CORE = "rgmkit", "rgmkit.plugins.builtin"
IMPOSTOR = "another distribution is named rgmkit, too: rename or uninstall it"
DISABLE = "RGMKIT_PLUGINS_DISABLE"
KIND_WORDS = {"objective": "an objective", "data": "a data set"}
log = logging.getLogger(__name__)


class Registry:
    """The components of all plugins that were loaded, by kind and name."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.clashes: list[str] = []
        self.disabled: list[Source] = []
        self.others: list[Source] = []  # that were loaded and are not rgmkit's own
        self._components: dict[tuple[str, str], list[Component]] = {}
        self._files: set[Path] = set()

    def load(self, entries: Iterable[EntryPoint]) -> None:
        """Load entry points, rgmkit's own first so that its components keep their bare names."""
        sources = sorted(
            map(Source.of_entry, entries), key=lambda s: (not _built_in(s), _canonical(s.distribution), s.entry)
        )
        own = [source.package for source in sources if source.target == CORE]
        if not any(map(_built_in, sources)):
            missing = PluginError("rgmkit's own plugins are not registered: install it with 'pip install -e .'")
            self._fail(Failure("*", BUILT_IN, "look-up", missing))
        for source in sources:
            if _built_in(source) and own and source.package not in own:
                self._fail(Failure(source.entry, BUILT_IN, "look-up", PluginError(IMPOSTOR)))
                continue
            if _is_disabled(source):
                self.disabled.append(source)
                continue
            loaded = load(source)
            if isinstance(loaded, Failure):
                self._fail(loaded)
            else:
                self._add(loaded, source)

    def entries_of(self, distribution: Distribution) -> list[EntryPoint]:
        """Read the entry points of one distribution; if they cannot be read, record that and return none."""
        try:
            return list(distribution.entry_points.select(group=GROUP))
        except Exception as cause:
            self._fail(Failure("*", read_name(distribution), "the reading of its entry points", cause))
            return []

    def add_file(self, path: str | Path) -> None:
        """Load a Python file that the user named, once.

        Raises:
            PluginError: if the file is missing or fails.
        """
        path = os.path.expanduser(path)
        if not os.path.isfile(path):
            raise PluginError(f"no plugin file {path}: give the path of a Python file")
        path = Path(os.path.realpath(path))
        if path in self._files:
            return
        loaded = load(Source.of_file(path))
        if isinstance(loaded, Failure):
            raise PluginError(f"plugin file {path} failed at {loaded.stage}: {loaded.reason}") from loaded.cause
        self._files.add(path)
        self._add(loaded, Source.of_file(path))

    def list_components(self, kind: str | None = None) -> list[Component]:
        """List the components of a kind, or all, in the order of kinds and names."""
        kinds = KINDS if kind is None else (_known_kind(kind),)
        listed = [component for namesakes in self._components.values() for component in namesakes]
        listed = [component for component in listed if component.kind in kinds]
        return sorted(listed, key=lambda c: (KINDS.index(c.kind), c.name.lower(), not _built_in(c), c.distribution))

    def address(self, component: Component) -> str:
        """Return the shortest name of a component: bare, or `name@distribution` if the bare name is taken."""
        namesakes = self._components[component.kind, component.name]
        if len(namesakes) == 1 or _built_in(component):
            return component.name
        return f"{component.name}@{component.distribution}"

    def lookup(self, kind: str, name: str) -> Component:
        """Look up a component by its kind and `name`, or `name@distribution`.

        Raises:
            PluginError: if there is none, or more than one.
        """
        bare, _, distribution = name.partition("@")
        bare = COMPONENTS.get((kind, bare), bare)
        found = self._components.get((_known_kind(kind), bare), [])
        if distribution:
            found = [c for c in found if _canonical(c.distribution) == _canonical(distribution)]
        elif found and _built_in(found[0]):
            return found[0]
        if not found:
            raise self._unknown(kind, name)
        if len(found) > 1:
            providers = " and ".join(c.distribution for c in found)
            choices = " or ".join(map(self.address, found))
            raise PluginError(f"{kind} {name!r} is provided by {providers}: write {choices}")
        return found[0]

    def find(self, name: str) -> list[Component]:
        """Find the components of a `name`, or `name@distribution`, in all kinds.

        Raises:
            PluginError: if there is none.
        """
        kinds = [kind for kind in KINDS if (kind, name.partition("@")[0]) in self._components]
        if not kinds:
            raise self._unknown(None, name)
        return [self.lookup(kind, name) for kind in kinds]

    def _add(self, components: list[Component], source: Source) -> None:
        if not _built_in(source):
            self.others.append(source)
        for component in components:
            namesakes = self._components.setdefault((component.kind, component.name), [])
            if any(_canonical(c.distribution) == _canonical(component.distribution) for c in namesakes):
                twice = PluginError(
                    f"another plugin of {source.distribution} provides the {component.kind} {component.name!r}"
                )
                self._fail(Failure(source.entry, source.distribution, "naming", twice))
                continue
            namesakes.append(component)
            if len(namesakes) > 1:
                self._report_clash(namesakes)

    def _report_clash(self, namesakes: list[Component]) -> None:
        first, last = namesakes[0], namesakes[-1]
        if _built_in(first):
            fix = f"rgmkit's keeps the name, write {self.address(last)} for the other"
        else:
            fix = f"write {' or '.join(map(self.address, namesakes))}"
        clash = f"{last.kind} {last.name!r} of {last.origin} is also provided by {first.origin}: {fix}"
        self.clashes.append(clash)
        log.warning(clash)

    def _fail(self, failure: Failure) -> None:
        self.failures.append(failure)
        log.warning(str(failure))

    def _unknown(self, kind: str | None, name: str) -> PluginError:
        known = [self.address(component) for component in self.list_components(kind)]
        near = find_meant(name, known)
        text = f"no {kind or 'component'} is named {name!r}"
        if near:
            text += f", the nearest is {near!r}"
        else:
            text += f": there are {', '.join(known) or 'none'}" if kind else ": see 'rgmkit plugins'"
        elsewhere = [c for c in self.list_components() if c.name == name]
        if elsewhere:
            other = elsewhere[0].kind
            text += f" ({name!r} is {KIND_WORDS.get(other, f'a {other}')})"
        if self.failures:
            text += f"; it may belong to a plugin that failed: {'; '.join(map(str, self.failures))}"
        if self.disabled:
            text += f"; {DISABLE} disables {', '.join(f'{s.entry} of {s.distribution}' for s in self.disabled)}"
        return PluginError(text)


def load_target(component: Component) -> type:
    """Import the class of a component and check that it is of its kind.

    Raises:
        PluginError: if it cannot be imported or is something else.
    """
    what = f"{component.kind} {component.name!r} of {component.origin}"
    base = pkgutil.resolve_name(BASES[component.kind])
    try:
        with contain(), redirect_stdout(sys.stderr):  # stdout carries results only
            cls = component.target if isinstance(component.target, type) else pkgutil.resolve_name(component.target)
            fits = isinstance(cls, type) and issubclass(cls, base)
    except Exception as cause:
        raise PluginError(f"{what} cannot be imported from {component.target!r}: {describe_cause(cause)}") from cause
    if not fits:
        raise PluginError(f"{what}: {component.target!r} is not a subclass of {base.__name__}")
    return cls


def find_culprit(error: BaseException) -> str | None:
    """Say which plugin of a third party raised an error, and in which line; None if none did."""
    owners = {_package(source.target): source for source in installed().others}
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        owner = owners.get(_package(str(frame.f_globals.get("__name__"))))
        if owner:
            return f"the plugin {owner.entry} of {owner.distribution} ({frame.f_code.co_filename}, line {line})"
    return None


def _package(name: str) -> str:
    return re.split("[.:]", name)[0]


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        raise PluginError(f"no kind of component is named {kind!r}: give one of {', '.join(KINDS)}")
    return kind


def _entry_points(registry: Registry) -> Iterable[EntryPoint]:
    """Read the entry points of rgmkit's group; record and skip a distribution whose list cannot be read."""
    try:
        found = list(entry_points(group=GROUP))
        if any(entry.value == CORE for entry in found):
            return found
    except Exception:  # one malformed list makes the look-up of all fail
        pass
    found_by_name: dict[tuple[str, bool], list[EntryPoint]] = {}
    for distribution in distributions():  # another one named rgmkit may hide this one
        entries = registry.entries_of(distribution)
        key = _canonical(read_name(distribution)), any(entry.value == CORE for entry in entries)
        found_by_name.setdefault(key, entries)
    return [entry for entries in found_by_name.values() for entry in entries]


def _built_in(what: Source | Component) -> bool:
    return _canonical(what.distribution) == BUILT_IN


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_disabled(source: Source) -> bool:
    """Whether the environment disables a plugin; those of rgmkit itself always load."""
    names = {_canonical(name.strip()) for name in os.environ.get(DISABLE, "").split(",") if name.strip()}
    return not _built_in(source) and bool({"all", _canonical(source.distribution), _canonical(source.entry)} & names)


_installed: Registry | None = None


def installed() -> Registry:
    """Return the registry of this process; the first call loads the installed plugins."""
    global _installed
    if _installed is None:
        _installed = Registry()  # set before loading: a plugin may ask for components while it is imported
        _installed.load(_entry_points(_installed))
    return _installed
