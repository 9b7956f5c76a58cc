"""Read the options of a constructor from its signature, and check values against their annotations."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from rgmkit.core.bounds import describe_bounds, is_usable
from rgmkit.core.constructors import constructors
from rgmkit.errors import ConfigError, PluginError, describe_error, join_words, show_value

REQUIRED = inspect.Parameter.empty
_LISTS = (list, Sequence, Collection, Iterable)
_UNCHECKED = (Any, object, REQUIRED)

Nested = Callable[[type, Any, str], Any]
"""`nested(cls, value, path)` builds the object of class `cls` that a nested spec names, or returns `NotImplemented`."""

Place = Callable[[Path, str], Path]
"""`place(file, path)` returns where the file lies that the option at `path` names."""

Recurse = Callable[[Any, Any, str], Any]
"""`recurse(value, hint, path)` checks a part of a value."""


@dataclass(frozen=True)
class Option:
    """A parameter of a constructor: its name, its type and its default (`REQUIRED` if it has none)."""

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is REQUIRED


def options_of(cls: type) -> dict[str, Option]:
    """Return the options of a class by name: the parameters of its constructor.

    A constructor with `**kwargs` also takes the options of the next constructor in the method resolution order. An
    attribute `option_types` of the class overrides the annotations.

    >>> class Blur:
    ...     def __init__(self, *, std: float, steps: int = 3): ...
    >>> [(option.name, option.type, option.required) for option in options_of(Blur).values()]
    [('std', <class 'float'>, True), ('steps', <class 'int'>, False)]
    """
    return dict(_read_options(cls))


@lru_cache(maxsize=256)
def _read_options(cls: type) -> dict[str, Option]:
    options: dict[str, Option] = {}
    types = getattr(cls, "option_types", {})
    for constructor in constructors(cls):
        hints = _resolve_hints(constructor)
        for p in list(inspect.signature(constructor).parameters.values())[1:]:
            if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in options:
                hint = types.get(p.name, hints.get(p.name, REQUIRED))
                options[p.name] = Option(p.name, hint, p.default)
    return options


def _resolve_hints(function: Any) -> dict[str, Any]:
    """Resolve annotations to types; one that cannot be resolved at run time, or is no type, is left unchecked."""
    found, scope = {}, inspect.unwrap(function).__globals__
    for name, hint in getattr(function, "__annotations__", {}).items():
        try:
            one = types.SimpleNamespace(__annotations__={name: hint})
            found.update(typing.get_type_hints(one, scope, include_extras=True))
            describe(found[name])
        except Exception:  # a name that is imported for type checkers only, or a list in place of a type
            found[name] = Any
    return found


class Mismatch(Exception):
    """A value of the wrong type; `check` adds its path."""


def check(value: Any, hint: Any, path: str, *, folder: Path | Place | None, nested: Nested) -> Any:
    """Check `value` against the annotation `hint`, and convert it.

    A float accepts a whole number; neither int nor float accepts a boolean. Numbers are finite and within the `Bounds`
    of an `Annotated`, see `rgmkit.core.bounds`. A string becomes a `Path` (in `folder`, if given, or where a `Place`
    says) and a list a tuple if the annotation says so; `nested` builds objects.

    Raises:
        ConfigError: for a value of another type; the message has the path, the value and the expected type.
    """
    try:
        return _check(value, hint, path, folder if callable(folder) else place_in(folder), nested)
    except Mismatch:
        raise ConfigError(f"{path} is {show_value(value)}: give {describe(hint)}{_name_not_finite(value)}") from None


def _name_not_finite(value: Any) -> str:
    """Name NaN or infinity in a value that was refused."""
    numbers = [item for item in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(item, float)]
    return ", not NaN" if any(map(math.isnan, numbers)) else ", and finite" if any(map(math.isinf, numbers)) else ""


def place_in(folder: Path | None) -> Place:
    """Place relative files in `folder`."""
    return lambda file, path: folder / file if folder else file


def _check(value: Any, hint: Any, path: str, place: Place, nested: Nested, bounds: tuple[Any, ...] = ()) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)

    def recurse(value: Any, hint: Any, path: str) -> Any:
        return _check(value, hint, path, place, nested)

    if hint in _UNCHECKED or isinstance(hint, (typing.TypeVar, str)):
        return value
    if origin is typing.Annotated:
        return _check(value, args[0], path, place, nested, args[1:])
    if origin in (typing.Union, types.UnionType):
        return _check_union(value, args, path, recurse)
    if origin is typing.Literal:
        return _require(value, any(value == arg and type(value) is type(arg) for arg in args))
    if hint is None or hint is type(None):
        return _require(value, value is None)
    kind = origin or hint
    if not isinstance(kind, type):
        return value
    if kind in (bool, str):
        return _require(value, isinstance(value, kind))
    if kind in (int, float):
        _require(value, isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool))
        try:
            number = kind(value)
        except OverflowError:
            raise Mismatch from None
        _require(value, is_usable(number, bounds))
        return number
    if issubclass(kind, Path):
        _require(value, isinstance(value, (str, Path)) and "\0" not in str(value))
        try:
            return place(Path(value).expanduser(), path)
        except RuntimeError as error:  # ~ of a user who does not exist
            raise ConfigError(f"{path} is {show_value(value)}: {describe_error(error)}") from error
    if kind in _LISTS or kind is tuple:
        return _check_list(value, kind, args, path, recurse)
    if issubclass(kind, Mapping):
        _require(value, isinstance(value, Mapping))
        key_hint, value_hint = args or (Any, Any)
        return {recurse(k, key_hint, path): recurse(v, value_hint, f"{path}.{k}") for k, v in value.items()}
    if kind is Callable:
        return _require(value, callable(value))
    if isinstance(value, kind):
        return value
    made = nested(kind, value, path)
    return _require(made, made is not NotImplemented)


def _check_union(value: Any, args: tuple[Any, ...], path: str, recurse: Recurse) -> Any:
    """Use the first alternative that accepts the value: an exact type before a conversion, a file path before text.

    A text where a number may stand need not be meant as the name of a component: both are named in the error.
    """
    if type(value) in args and not (isinstance(value, str) and Path in args):
        return recurse(value, type(value), path)
    for alternative in sorted(args, key=lambda arg: arg is str):
        try:
            return recurse(value, alternative, path)
        except Mismatch:
            continue
        except PluginError as error:
            if float not in args:
                raise
            raise ConfigError(f"{path} is {value!r}: give {join_words(list(map(describe, args)))}; {error}") from None
    raise Mismatch


def _check_list(value: Any, kind: type, args: tuple[Any, ...], path: str, recurse: Recurse) -> Any:
    _require(value, isinstance(value, (list, tuple)))
    if kind is tuple and args and args[-1] is not Ellipsis:
        _require(value, len(value) == len(args))
        hints: Sequence[Any] = args
    else:
        hints = [args[0] if args else Any] * len(value)
    made = [recurse(item, hint, f"{path}[{i}]") for i, (item, hint) in enumerate(zip(value, hints, strict=True))]
    return tuple(made) if kind is tuple else made


def _require(value: Any, fits: bool) -> Any:
    if not fits:
        raise Mismatch
    return value


def is_integer(hint: Any) -> bool:
    """Tell whether an annotation asks for whole numbers, or for none.

    >>> is_integer(typing.Annotated[int, "positive"]), is_integer(int | None), is_integer(int | float)
    (True, True, False)
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return is_integer(args[0])
    if origin in (typing.Union, types.UnionType):
        return all(is_integer(arg) for arg in args if arg is not type(None))
    return hint is int


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


def describe(hint: Any) -> str:
    """Describe an annotation in words.

    >>> describe(float), describe(tuple[int, int]), describe(typing.Literal["box", "gaussian"] | None)
    ('a number', 'a list of a whole number, a whole number', "'box', 'gaussian' or null")
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in _UNCHECKED:
        return "anything"
    if origin is typing.Annotated:
        return describe(args[0]) + describe_bounds(args[1:])
    if hint in _WORDS:
        return _WORDS[hint]
    if origin is typing.Literal:
        return join_words([repr(arg) for arg in args])
    if origin in (typing.Union, types.UnionType):
        words: list[str] = []
        for arg in args:
            words += map(repr, typing.get_args(arg)) if typing.get_origin(arg) is typing.Literal else [describe(arg)]
        return join_words(words)
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
