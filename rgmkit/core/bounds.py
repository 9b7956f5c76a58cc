"""Ranges of numbers, for the annotations of options: whoever reads a configuration checks them."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from rgmkit.errors import ConfigError, show_value

TESTS = {"gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}
WORDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
FLOAT32, TINY = 3.4e38, 1.2e-38  # tensors hold no larger finite numbers, and smaller ones have no finite reciprocal
INTEGERS = range(-(2**63), 2**64)  # of 64 bits


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The range of a number: `Annotated[float, Bounds(gt=0, le=1)]`. Those of annotated-types do as well.

    Attributes:
        gt, ge, lt, le: the number is greater than, at least, less than, or at most this.
        finite: False allows infinity, and NaN unless there is an end.
    """

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    finite: bool = True


Positive: TypeAlias = Annotated[float, Bounds(gt=0)]
NonNegative: TypeAlias = Annotated[float, Bounds(ge=0)]
Fraction: TypeAlias = Annotated[float, Bounds(ge=0, le=1)]
BelowOne: TypeAlias = Annotated[float, Bounds(ge=0, lt=1)]
AnyNumber: TypeAlias = Annotated[float, Bounds(finite=False)]
Count: TypeAlias = Annotated[int, Bounds(ge=1)]
CountOrZero: TypeAlias = Annotated[int, Bounds(ge=0)]
Iterations: TypeAlias = Annotated[int, Bounds(ge=1, le=1_000_000)]  # what no one waits for is a slip of the keyboard


def check_integer(value: Any, name: str) -> int:
    """Return a whole number of any type as an int.

    Raises:
        ConfigError: if it is something else, with its name.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} is {show_value(value)}: give a whole number") from None


def is_usable(value: float, bounds: tuple[Any, ...] = ()) -> bool:
    """Tell whether a number lies within all bounds and is finite, unless they allow infinity.

    >>> is_usable(0.5, (Bounds(ge=0, le=1),)), is_usable(float("nan")), is_usable(float("inf"), (Bounds(finite=False),))
    (True, False, True)
    """
    ends = [(name, end) for each in bounds for name in TESTS if (end := getattr(each, name, None)) is not None]
    if isinstance(value, int):
        finite = value in INTEGERS
    else:
        value = 0.0 if abs(value) < TINY else value
        finite = abs(value) <= FLOAT32 or any(not getattr(each, "finite", True) for each in bounds)
    return finite and all(TESTS[name](value, end) for name, end in ends)


def describe_bounds(bounds: tuple[Any, ...]) -> str:
    """Describe bounds in words, as they follow "a number".

    >>> describe_bounds((Bounds(gt=0, le=1),)), describe_bounds(())
    (' above 0 and at most 1', '')
    """
    words = [
        f"{word} {end:g}"
        for each in bounds
        for name, word in WORDS.items()
        if (end := getattr(each, name, None)) is not None
    ]
    return f" {'of ' * words[0].startswith('at')}{' and '.join(words)}" if words else ""
