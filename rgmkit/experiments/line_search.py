"""A small deterministic search for the numbers of a method: a coarse look, then golden sections."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final

from rgmkit.config import make
from rgmkit.errors import ConfigError

Values: TypeAlias = dict[str, Any]
"""A value for each number that is tuned, by its path: {"prior.weight": 2.0}."""
Score: TypeAlias = Callable[[Values], float]
Line: TypeAlias = Callable[[Any], float]
"""The score along one number, the others held."""

SECTION = (3 - math.sqrt(5)) / 2  # .382: of the golden section, from the middle point into the longer part
DIGITS = 4  # of a value that is tried: no score is known better than that


class Number(ABC):
    """One option of a method that is tuned, and the values it may have."""

    name: str

    @abstractmethod
    def coarse(self, count: int) -> list[Any]:
        """Values over the whole range, about `count` of them."""

    @abstractmethod
    def refined(self, line: Line, best: Any, coarse: int, count: int) -> Any:
        """The best value near `best`, of a coarse look at `coarse` values, with `count` evaluations more."""

    @abstractmethod
    def ends(self) -> tuple[Any, ...]:
        """The ends of the range: a best value there may be better beyond."""


@final
@dataclass(frozen=True)
class Range(Number):
    """From `low` to `high`, on a logarithmic or a linear scale; whole numbers where the option takes no others.

    >>> Range("prior.weight", 0.1, 1000.0).coarse(5)
    [0.1, 1.0, 10.0, 100.0, 1000.0]
    """

    name: str
    low: float
    high: float
    scale: Literal["log", "linear"] = "log"
    whole: bool = False

    def coarse(self, count: int) -> list[Any]:
        """Evenly spaced on the scale, the ends included."""
        values = [self._value(i / (count - 1)) for i in range(count)]
        return list(dict.fromkeys(values))

    def refined(self, line: Line, best: Any, coarse: int, count: int) -> Any:
        """Golden sections between the neighbours of the coarse look (Kiefer 1953)."""
        middle, step = self._place(best), 1 / (coarse - 1)
        left, right = max(0.0, middle - step), min(1.0, middle + step)
        for _ in range(count):
            up = right - middle >= middle - left
            new = middle + SECTION * ((right - middle) if up else (left - middle))
            value = self._value(new)
            if value == best:  # of whole numbers, or to four digits, there is none between
                break
            if line(value) > line(best):
                left, right = (middle, right) if up else (left, middle)
                middle, best = new, value
            else:
                left, right = (left, new) if up else (new, right)
        return best

    def ends(self) -> tuple[Any, ...]:
        """Both."""
        return self._value(0.0), self._value(1.0)

    def _value(self, place: float) -> Any:
        """The value at a place from 0 (low) to 1 (high)."""
        if self.scale == "log":
            value = self.low * (self.high / self.low) ** place
        else:
            value = self.low + (self.high - self.low) * place
        return round(value) if self.whole else float(f"{value:.{DIGITS}g}")

    def _place(self, value: float) -> float:
        if self.scale == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@final
@dataclass(frozen=True)
class Choices(Number):
    """A list of values: each is tried."""

    name: str
    values: tuple[Any, ...]

    def coarse(self, count: int) -> list[Any]:
        """All, whatever the count."""
        return list(self.values)

    def refined(self, line: Line, best: Any, coarse: int, count: int) -> Any:
        """There is nothing between two choices."""
        return best

    def ends(self) -> tuple[Any, ...]:
        """The least and the largest of numbers; other choices have none."""
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in self.values)
        return (min(self.values), max(self.values)) if numbers else ()


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A range, or choices, as a mapping in a grid."""

    low: float | None = None
    high: float | None = None
    scale: Literal["log", "linear"] | None = None
    choices: list[Any] | None = None


def number(name: str, asked: Any, *, path: str, whole: bool) -> Number:
    """The number that `asked` describes: two numbers are a range, longer lists choices.

    Raises:
        ConfigError: for anything else, with its `path`.

    >>> number("prior.weight", [0.1, 100], path="tune", whole=False).scale
    'log'
    """
    if isinstance(asked, Mapping):
        given = make(_Asked, asked, path=path, what="a range")
        if given.choices is not None:
            return _choices(name, given.choices, path)
        if given.low is not None and given.high is not None:
            return _range(name, given.low, given.high, given.scale, path, whole)
    elif isinstance(asked, (list, tuple)):
        if len(asked) == 2 and all(_is_number(value) for value in asked):
            return _range(name, asked[0], asked[1], None, path, whole)
        return _choices(name, asked, path)
    raise ConfigError(
        f"{path} is {asked!r}: give two numbers, [low, high], a longer list of choices, or low: and high: with a scale:"
    )


def _range(name: str, low: float, high: float, scale: str | None, path: str, whole: bool) -> Range:
    if not -math.inf < low < high < math.inf:
        raise ConfigError(f"{path} goes from {low:g} to {high:g}: give the lower end first, and two different ones")
    if scale == "log" and low <= 0:
        raise ConfigError(f"{path}.low is {low:g}: a log scale is of positive numbers, take scale: linear")
    return Range(name, float(low), float(high), "linear" if scale == "linear" or low <= 0 else "log", whole)


def _choices(name: str, values: Sequence[Any], path: str) -> Choices:
    if len(values) < 2 or any(value in values[:i] for i, value in enumerate(values)):
        raise ConfigError(f"{path} has the choices {list(values)!r}: give two or more different ones")
    return Choices(name, tuple(values))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def search(score: Score, numbers: Sequence[Number], evaluations: int) -> Values:
    """The values of the best score that is found, one number after the other.

    Half of the evaluations of each number are a coarse look at its whole range, the others held at their
    middle or at the best so far; then each is refined in turn.

    Args:
        score: higher is better; evaluated once for the same values if it remembers them.
        evaluations: for each number, 3 or more; choices are all tried.

    >>> best = search(lambda v: -(v["x"] - 3) ** 2, [Range("x", 0.0, 10.0, "linear")], evaluations=16)
    >>> abs(best["x"] - 3) < 0.05
    True
    """
    coarse = math.ceil(evaluations / 2)
    best: Values = {n.name: (values := n.coarse(coarse))[(len(values) - 1) // 2] for n in numbers}
    for n in numbers:
        best |= {n.name: max(n.coarse(coarse), key=_line(score, best, n.name))}
    for n in numbers:
        best |= {n.name: n.refined(_line(score, best, n.name), best[n.name], coarse, evaluations - coarse)}
    return best


def _line(score: Score, at: Values, name: str) -> Line:
    held = dict(at)
    return lambda value: score({**held, name: value})
