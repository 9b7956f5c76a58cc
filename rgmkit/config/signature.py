"""A constructor's signature as a schema: its options, and values checked against their annotations."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from rgmkit.errors import ConfigError

REQUIRED = inspect.Parameter.empty
_LISTS = (list, Sequence, Collection, Iterable)
_UNCHECKED = (Any, object, REQUIRED)

Nested = Callable[[type, Any, str], Any]
"""`nested(cls, value, path)`: the object of an abstract class that a nested spec stands for, or `NotImplemented`."""


@dataclass(frozen=True)
class Option:
    """One parameter of a constructor: its name, its type and its default (`REQUIRED` if it has none)."""

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is REQUIRED


def options_of(cls: type) -> dict[str, Option]:
    """The options of a class, by name: the parameters of its constructor.

    A constructor that passes `**kwargs` on takes the options of the next constructor, too.

    >>> class Blur:
    ...     def __init__(self, *, std: float, steps: int = 3): ...
    >>> [(option.name, option.type, option.required) for option in options_of(Blur).values()]
    [('std', <class 'float'>, True), ('steps', <class 'int'>, False)]
    """
    options: dict[str, Option] = {}
    for base in cls.__mro__:
        constructor = vars(base).get("__init__")
        if not inspect.isfunction(constructor):
            continue
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        hints = _hints(constructor)
        for p in parameters:
            if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in options:
                options[p.name] = Option(p.name, hints.get(p.name, REQUIRED), p.default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return options


def _hints(function: Any) -> dict[str, Any]:
    """Annotations as types; one that cannot be resolved at run time is left unchecked."""
    try:
        return typing.get_type_hints(function)
    except Exception:  # a name that is imported for type checkers only
        found = {}
        for name, hint in getattr(function, "__annotations__", {}).items():
            one = types.SimpleNamespace(__annotations__={name: hint})
            try:
                found.update(typing.get_type_hints(one, function.__globals__))
            except Exception:
                found[name] = Any
        return found


class Mismatch(Exception):
    """A value that has not the type; caught where the path is known."""


def check(value: Any, hint: Any, path: str, *, folder: Path | None, nested: Nested) -> Any:
    """`value` as the type that the annotation `hint` says.

    A whole number is taken for a float, a boolean is never taken for a number, a string becomes a
    `Path` (relative to `folder`, if given), a list becomes a tuple where one is asked for, and a class that
    `nested` knows is built.

    Raises:
        ConfigError: naming the path, the value and the type that is expected.
    """
    try:
        return _check(value, hint, path, folder, nested)
    except Mismatch:
        raise ConfigError(f"{path} is {value!r}: give {describe(hint)}") from None


def _check(value: Any, hint: Any, path: str, folder: Path | None, nested: Nested) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)

    def again(value: Any, hint: Any, path: str) -> Any:
        return _check(value, hint, path, folder, nested)

    if hint in _UNCHECKED or isinstance(hint, (typing.TypeVar, str)):
        return value
    if origin is typing.Annotated:
        return again(value, args[0], path)
    if origin in (typing.Union, types.UnionType):
        return _check_union(value, args, path, again)
    if origin is typing.Literal:
        return _only(value, any(value == arg and type(value) is type(arg) for arg in args))
    if hint is None or hint is type(None):
        return _only(value, value is None)
    kind = origin or hint
    if not isinstance(kind, type):
        return value
    if kind in (bool, str):
        return _only(value, isinstance(value, kind))
    if kind in (int, float):
        _only(value, isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool))
        return kind(value)
    if issubclass(kind, Path):
        _only(value, isinstance(value, (str, Path)))
        file = Path(value).expanduser()
        return folder / file if folder else file
    if kind in _LISTS or kind is tuple:
        return _check_list(value, kind, args, path, again)
    if issubclass(kind, Mapping):
        _only(value, isinstance(value, Mapping))
        key_hint, value_hint = args or (Any, Any)
        return {again(k, key_hint, path): again(v, value_hint, f"{path}.{k}") for k, v in value.items()}
    if kind is Callable:
        return _only(value, callable(value))
    if isinstance(value, kind):
        return value
    made = nested(kind, value, path)
    return _only(made, made is not NotImplemented)


def _check_union(value: Any, args: tuple[Any, ...], path: str, again: Callable[[Any, Any, str], Any]) -> Any:
    """The first alternative that fits; an exact type before one that converts, a file before any text."""
    if type(value) in args and not (isinstance(value, str) and Path in args):
        return value
    for alternative in sorted(args, key=lambda arg: arg is str):
        try:
            return again(value, alternative, path)
        except Mismatch:
            continue
    raise Mismatch


def _check_list(value: Any, kind: type, args: tuple[Any, ...], path: str, again: Callable[[Any, Any, str], Any]) -> Any:
    _only(value, isinstance(value, (list, tuple)))
    if kind is tuple and args and args[-1] is not Ellipsis:
        _only(value, len(value) == len(args))
        hints: Sequence[Any] = args
    else:
        hints = [args[0] if args else Any] * len(value)
    made = [again(item, hint, f"{path}[{i}]") for i, (item, hint) in enumerate(zip(value, hints, strict=True))]
    return tuple(made) if kind is tuple else made


def _only(value: Any, fits: bool) -> Any:
    if not fits:
        raise Mismatch
    return value


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


def describe(hint: Any) -> str:
    """An annotation in words.

    >>> describe(float), describe(tuple[int, int]), describe(typing.Literal["box", "gaussian"] | None)
    ('a number', 'a list of a whole number, a whole number', "'box', 'gaussian' or null")
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in _UNCHECKED:
        return "anything"
    if hint in _WORDS:
        return _WORDS[hint]
    if origin is typing.Literal:
        return _or([repr(arg) for arg in args])
    if origin in (typing.Union, types.UnionType):
        words = [w for arg in args for w in (map(repr, typing.get_args(arg)) if _literal(arg) else [describe(arg)])]
        return _or(words)
    kind = origin or hint
    if kind in _LISTS or kind is tuple:
        items = [describe(arg) for arg in args if arg is not Ellipsis]
        if kind is tuple and args and args[-1] is not Ellipsis:
            return f"a list of {', '.join(items)}"
        return f"a list, each item {items[0]}" if items else "a list"
    if isinstance(kind, type):
        if issubclass(kind, Path):
            return "a file path"
        if issubclass(kind, Mapping):
            return "a mapping"
        return f"a {kind.__name__}"
    return str(hint)


def _literal(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Literal


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
