"""The constructors of a class, whose parameters are its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator


def constructors(cls: type) -> Iterator[Callable[..., None]]:
    """Iterate over the constructors that take the options of a class.

    One with `**kwargs` passes options on to the next in the method resolution order.
    """
    for base in cls.__mro__:
        constructor = vars(base).get("__init__")
        if not inspect.isfunction(constructor):
            continue
        yield constructor
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(constructor).parameters.values()):
            return
