"""Strategies of hypothesis for inputs of rgmkit, made from the signatures of constructors, and by damage to files."""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st

from rgmkit import plugins
from rgmkit.cli.app import cli
from rgmkit.config import dump_yaml, options_of, spec_text
from rgmkit.models.catalogue import GIVEN
from rgmkit.plugins.component import BASES

NUMBERS = [0, -1, 1e-30, 1e30, 1e300, float("nan"), float("inf"), 2**31, 2**63, 2**64, 10**9, 10**30, True, 1.5]
TEXTS = [
    "", " ", "x", "nan", "1e-2", "\0", "a" * 256, "a" * 5000, "\x1b[31m", "\ud800", "é", "../..", "/dev/zero",
    "~nobody/x", "tv", "blur:std=1", "blur:std=", "[", "{", "*a", "!!python/object:os.system", "a.png", "/",
    "name: x\n- y",
]  # fmt: skip
OTHERS: list[Any] = [None, [], {}, [1, 2], [[1]], [None], {"use": "blur"}, {"use": 3}, {"use": None}, {"a": {"b": []}}]
HOSTILE = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.sampled_from(OTHERS), st.text(max_size=8))
SLOW = {"deepinv.BM3D", "deepinv.DiffPIR", "deepinv.DDRM"}  # of minutes, or that download weights
ALWAYS = {"langevin": ("iterations",)}  # options without which a component takes a minute
DOWNLOADS = {"torchvision", "huggingface", "inception", "lpips", "clip"}

KINDS = {base: kind for kind, base in BASES.items()}


def rarely(strange: st.SearchStrategy[Any], usual: st.SearchStrategy[Any], one_in: int = 5) -> st.SearchStrategy[Any]:
    """Draw mostly from `usual`."""
    return st.integers(1, one_in).flatmap(lambda i: strange if i == 1 else usual)


def values(hint: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values for an annotation, some of them hostile."""
    return rarely(HOSTILE, _fitting(hint, depth), 10)


def _fitting(hint: Any, depth: int) -> st.SearchStrategy[Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _fitting(args[0], depth)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([_fitting(arg, depth) for arg in args])
    if origin is typing.Literal:
        return st.sampled_from(args)
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(0, 5)
    if hint is float:
        return st.one_of(st.floats(0, 3), st.sampled_from([0.0, 0.1, 1.0, 2.0]))
    if hint in (None, type(None)):
        return st.none()
    if origin is tuple and args and args[-1] is not Ellipsis:
        return st.tuples(*(values(arg, depth) for arg in args)).map(list)
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, typing.Sequence)):
        return st.lists(values(args[0] if args else Any, depth), max_size=4)
    if isinstance(origin or hint, type) and issubclass(origin or hint, Mapping):
        return st.dictionaries(st.sampled_from(["name", "use", "a"]), HOSTILE, max_size=2)
    if isinstance(hint, type) and not issubclass(hint, (str, Path)):
        kinds = [KINDS[name] for cls in hint.__mro__ if (name := f"{cls.__module__}:{cls.__name__}") in KINDS]
        if kinds and depth < 2:
            return contents(kinds[0], depth + 1)
    return HOSTILE


def contents(kind: str, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings `{use: name, option: value}` of all components of a kind."""
    skipped = SLOW | DOWNLOADS
    names = [c.name for c in plugins.list_components(kind) if c.distribution == "rgmkit" and c.name not in skipped]
    return st.sampled_from(names).flatmap(lambda name: _content(kind, name, depth))


def _content(kind: str, name: str, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    given = GIVEN.get(kind, ())
    known = [option for option in options_of(plugins.load_class(kind, name)).values() if option.name not in given]
    always = ALWAYS.get(name, ())
    needed = {option.name: values(option.type, depth) for option in known if option.required or option.name in always}
    others = {option.name: values(option.type, depth) for option in known if option.name not in needed}
    more = st.fixed_dictionaries({}, optional=others).map(lambda chosen: dict(list(chosen.items())[:3]))
    strange = st.dictionaries(st.sampled_from(["nothing", "use", "noise", "std"]), HOSTILE, max_size=1)
    return st.builds(
        lambda a, b, c: {**a, **b, **c, "use": c.get("use", name)},
        st.fixed_dictionaries(needed), more, rarely(strange, st.just({}), 8),
    )  # fmt: skip


def specs(kind: str) -> st.SearchStrategy[Any]:
    """Components as mappings, as spec strings, and as damaged ones."""
    mapping = contents(kind)
    return st.one_of(mapping, mapping.map(_to_text), rarely(HOSTILE, damaged_text(mapping.map(_to_text)), 4))


def _to_text(content: dict[str, Any]) -> str:
    try:
        return spec_text(content)
    except Exception:  # a surrogate
        return str(content)


def damaged_text(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts of which a part is left out, doubled or replaced."""

    def damage(text: str, start: int, length: int, new: str) -> str:
        at = start % (len(text) + 1)
        return text[:at] + new + text[at + length :]

    marks = ["", ":", ",", "=", "\n", "  ", "- ", "{", "]", "&a ", "*a", "#", "%", "'", "\t"]
    new = st.one_of(st.sampled_from(marks), st.text(max_size=3))
    return st.builds(damage, text, st.integers(0, 10**4), st.integers(0, 12), new)


def damaged_bytes(samples: list[bytes]) -> st.SearchStrategy[bytes]:
    """Files that are cut, or of which some bytes are replaced, doubled or left out."""
    edits = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 8), st.binary(max_size=6)), min_size=0, max_size=3)

    def damage(data: bytes, edits: list[tuple[int, int, bytes]], head: bool, cut: int | None) -> bytes:
        for place, length, new in edits:
            at = place % (min(len(data), 160) if head and data else len(data) + 1)
            data = data[:at] + new + data[at + length :]
        return data if cut is None else data[: cut % (len(data) + 1)]

    return st.builds(
        damage, st.sampled_from(samples), edits, st.booleans(), rarely(st.integers(0, 10**6), st.none(), 4)
    )


def damaged_mappings(content: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Copies of a mapping, in which values, at any depth, are replaced, left out or added."""
    paths = list(_paths(content))
    change = st.tuples(st.sampled_from(paths), st.one_of(HOSTILE, st.just("LEFT OUT")))
    return st.lists(change, min_size=1, max_size=2).map(lambda changes: _apply(content, changes))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> typing.Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _paths(inner, (*path, key))


def _apply(content: Any, changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
    def copy(value: Any, path: tuple[Any, ...] = ()) -> Any:
        for place, new in changes:
            if place == path:
                return new
        if isinstance(value, Mapping):
            made = {key: copy(inner, (*path, key)) for key, inner in value.items()}
            return {key: inner for key, inner in made.items() if inner != "LEFT OUT"}
        return [copy(inner, (*path, i)) for i, inner in enumerate(value)] if isinstance(value, list) else value

    return copy(content)


def documents(contents: list[Mapping[str, Any]]) -> st.SearchStrategy[str]:
    """YAML files with damaged values or damaged text."""
    changed = st.sampled_from(contents).flatmap(damaged_mappings).map(_to_yaml)
    return st.one_of(changed, damaged_text(st.sampled_from(contents).map(_to_yaml)))


def _to_yaml(content: Any) -> str:
    try:
        return dump_yaml(content)
    except Exception:
        return str(content)


def command_lines(samples: Mapping[str, list[str]]) -> st.SearchStrategy[list[str]]:
    """Command lines: one that works, with words replaced, left out or added from the options of its command."""

    def change(name: str) -> st.SearchStrategy[list[str]]:
        flags = [flag for parameter in cli.commands[name].params for flag in parameter.opts]
        options = [flag for flag in flags if flag.startswith("-") and flag != "--debug"]  # which asks for tracebacks
        hostile = st.one_of(HOSTILE.map(str).filter(_is_argument), st.sampled_from(options))
        edit = st.tuples(st.integers(1, 20), st.booleans(), hostile)
        return st.lists(edit, min_size=1, max_size=2).map(lambda edits: _edit([name, *samples[name]], edits))

    return st.sampled_from(sorted(samples)).flatmap(change)


def _is_argument(word: str) -> bool:
    try:
        return b"\0" not in os.fsencode(word)
    except UnicodeEncodeError:
        return False


def _edit(words: list[str], edits: list[tuple[int, bool, str]]) -> list[str]:
    for place, replaces, new in edits:
        at = 1 + place % len(words)
        words = [*words[:at], new, *words[at + replaces :]]
    return words
