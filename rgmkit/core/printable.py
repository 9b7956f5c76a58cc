"""Objects whose `repr` is the call that makes them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from rgmkit.core.constructors import constructors

GIVEN = "_given_options"
"""The attribute for the options that are not stored as they were given."""

MISSING = object()


class Printable:
    """Give a class a `repr` that is the call of its constructor, with the options that differ from their defaults.

    An option is shown as the attribute of the same name, or, without one, as it was given to the constructor.

    >>> class Rain(Printable):
    ...     def __init__(self, *, strength: float = 1.0, seed: int = 0):
    ...         self.strength, self._seed = strength, seed
    >>> Rain(), Rain(strength=2, seed=0), Rain(seed=3)
    (Rain(), Rain(strength=2), Rain(seed=3))
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if inspect.isfunction(vars(cls).get("__init__")):
            cls.__init__ = _record_given(cls.__init__)  # type: ignore[method-assign]

    def extra_repr(self) -> str:
        """Return the arguments of the constructor as text, for `repr`."""
        given = vars(self).get(GIVEN, {})
        defaults = {p.name: p.default for p in constructor_parameters(type(self))}
        shown = {}
        for name in dict.fromkeys([*defaults, *given]):
            value = _read_attribute(self, name)
            stored = None if value is MISSING else show_option(value)
            text, before = given.get(name, (None if _is_equal(value, defaults.get(name)) else stored, stored))
            shown[name] = text if stored == before else stored
        return ", ".join(f"{name}={text}" for name, text in shown.items() if text is not None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


def constructor_parameters(cls: type) -> tuple[inspect.Parameter, ...]:
    """Return the named parameters of the constructors of a class, each once."""
    return _read_parameters(cls)


@functools.lru_cache(maxsize=256)
def _read_parameters(cls: type) -> tuple[inspect.Parameter, ...]:
    found: dict[str, inspect.Parameter] = {}
    for constructor in constructors(cls):
        for p in list(inspect.signature(constructor).parameters.values())[1:]:
            if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD):
                found.setdefault(p.name, p)
    return tuple(found.values())


def show_option(value: object) -> str:
    """Show an option in a few characters: a number in 6 digits, an array by its shape, a network by its size.

    >>> show_option(4.0), show_option(np.zeros((3, 2))), show_option([0.5, nn.Linear(2, 3)])
    ('4', '<3x2>', '[0.5, Linear(9 parameters)]')
    """
    if isinstance(value, (Tensor, np.ndarray)):
        return f"{value.item():g}" if value.ndim == 0 else f"<{'x'.join(map(str, value.shape))}>"
    if isinstance(value, nn.Module) and not isinstance(value, (Printable, nn.ModuleList)):
        return f"{type(value).__name__}({count_parameters(value)})"
    if isinstance(value, (list, nn.ModuleList)):
        return f"[{', '.join(map(show_option, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(show_option, value))}{',' * (len(value) == 1)})"
    return f"{value:g}" if isinstance(value, float) else repr(value)


def count_parameters(network: nn.Module) -> str:
    """Return the number of parameters of a network, with the word."""
    return f"{sum(p.numel() for p in network.parameters()):,} parameters"


def _record_given(constructor: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor record, as text, the options that are not stored as they are under their names."""
    names = list(inspect.signature(constructor).parameters)[1:]

    @functools.wraps(constructor)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        constructor(self, *args, **kwargs)
        if type(self).__init__ is construct:  # the outermost one
            record = _find_changed(self, dict(zip(names, args, strict=False)) | kwargs)
            if record:
                object.__setattr__(self, GIVEN, record)

    return construct


def _find_changed(thing: Printable, given: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """Return the options that are not stored as they are: as given (None: the default), and as
    stored (None: not at all)."""
    found = {}
    defaults = {p.name: p.default for p in constructor_parameters(type(thing))}
    for name, value in (defaults | given).items():
        stored = _read_attribute(thing, name)
        if not _is_equal(stored, value):
            text = show_option(value) if name in given and not _is_equal(value, defaults.get(name, MISSING)) else None
            found[name] = (text, None if stored is MISSING else show_option(stored))
    return found


def _read_attribute(thing: object, name: str) -> Any:
    """Return the attribute of an object; `MISSING` if it has none of this name, or a method."""
    try:
        value = getattr(thing, name)
    except Exception:  # a property may raise anything
        return MISSING
    return MISSING if inspect.ismethod(value) else value


def _is_equal(value: Any, other: Any) -> bool:
    try:
        return value is other or bool(value == other)
    except Exception:  # arrays
        return False
