"""A deterministic search for the parameters of a method: a coarse grid, then golden-section search."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final

from rgmkit.config import make
from rgmkit.errors import ConfigError

Values: TypeAlias = dict[str, Any]
"""A value for each tuned parameter, by its path: {"prior.weight": 2.0}."""
Score: TypeAlias = Callable[[Values], float]
ScoreAlong: TypeAlias = Callable[[Any], float]
"""The score as a function of one parameter, the others held fixed."""

SECTION = (3 - math.sqrt(5)) / 2  # 0.382: the next point, as a fraction of the longer part
DIGITS = 4  # significant digits of the values tried; more do not change a score


@final
@dataclass(frozen=True)
class Range:
    """A range from `low` to `high`, on a logarithmic or a linear scale; of integers if the option is an integer.

    >>> Range("prior.weight", 0.1, 1000.0).list_coarse(5)
    [0.1, 1.0, 10.0, 100.0, 1000.0]
    """

    name: str
    low: float
    high: float
    scale: Literal["log", "linear"] = "log"
    integer: bool = False

    def list_coarse(self, count: int) -> list[Any]:
        """Return `count` values evenly spaced on the scale, including both ends; fewer if rounding makes some equal."""
        values = [self._value(i / (count - 1)) for i in range(count)]
        return list(dict.fromkeys(values))

    def refine(self, line: ScoreAlong, best: Any, coarse: int, count: int) -> Any:
        """Refine the best value by golden-section search between its neighbours in the coarse grid (Kiefer 1953)."""
        middle, step = self._fraction(best), 1 / (coarse - 1)
        left, right = max(0.0, middle - step), min(1.0, middle + step)
        for _ in range(count):
            up = right - middle >= middle - left
            new = middle + SECTION * ((right - middle) if up else (left - middle))
            value = self._value(new)
            if value == best:  # the interval contains no other value, after rounding
                break
            if line(value) > line(best):
                left, right = (middle, right) if up else (left, middle)
                middle, best = new, value
            else:
                left, right = (left, new) if up else (new, right)
        return best

    def ends(self) -> tuple[Any, ...]:
        """Return both ends."""
        return self._value(0.0), self._value(1.0)

    def _value(self, fraction: float) -> Any:
        """Return the value at a fraction of the scale, from 0 (low) to 1 (high)."""
        if self.scale == "log":
            value = self.low * (self.high / self.low) ** fraction
        else:
            value = self.low + (self.high - self.low) * fraction
        return round(value) if self.integer else float(f"{value:.{DIGITS}g}")

    def _fraction(self, value: float) -> float:
        if self.scale == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@final
@dataclass(frozen=True)
class Choices:
    """A list of values, all of which are tried."""

    name: str
    values: tuple[Any, ...]

    def list_coarse(self, count: int) -> list[Any]:
        """Return all choices, whatever the count."""
        return list(self.values)

    def refine(self, line: ScoreAlong, best: Any, coarse: int, count: int) -> Any:
        """Return `best`: there is nothing between two choices to refine."""
        return best

    def ends(self) -> tuple[Any, ...]:
        """Return the smallest and the largest choice if all are numbers; other choices have no ends."""
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in self.values)
        return (min(self.values), max(self.values)) if numbers else ()


Parameter: TypeAlias = Range | Choices
"""An option of a method that is tuned, and the values it may have.

`list_coarse(count)` returns about `count` values over the whole range; `refine(line, best, coarse, count)` refines the
best of `coarse` such values with `count` more evaluations; `ends()` are the values beyond which a better one may lie.
"""


@dataclass(frozen=True, kw_only=True)
class _RangeSchema:
    """A range, or choices, as a mapping in a grid."""

    low: float | None = None
    high: float | None = None
    scale: Literal["log", "linear"] | None = None
    choices: list[Any] | None = None


def read_range(name: str, asked: Any, *, path: str, integer: bool) -> Parameter:
    """Read a range or choices: two numbers are a range, a longer list choices.

    Raises:
        ConfigError: for anything else, with its `path`.

    >>> read_range("prior.weight", [0.1, 100], path="tune", integer=False).scale
    'log'
    """
    if isinstance(asked, Mapping):
        given = make(_RangeSchema, asked, path=path, what="a range")
        if given.choices is not None:
            return _make_choices(name, given.choices, path)
        if given.low is not None and given.high is not None:
            return _make_range(name, given.low, given.high, given.scale, path, integer)
    elif isinstance(asked, (list, tuple)):
        numbers = [_is_number(value) for value in asked]
        if len(asked) == 2 and all(numbers):
            return _make_range(name, asked[0], asked[1], None, path, integer)
        if len(asked) != 2 or not any(numbers):
            return _make_choices(name, asked, path)
    raise ConfigError(
        f"{path} is {asked!r}: give two numbers, [low, high], a longer list of choices, or low: and high: with a scale:"
    )


def _make_range(name: str, low: float, high: float, scale: str | None, path: str, integer: bool) -> Range:
    if not -math.inf < low < high < math.inf:
        raise ConfigError(f"{path} goes from {low:g} to {high:g}: give the lower end first, and two different ones")
    if scale == "log" and low <= 0:
        raise ConfigError(f"{path}.low is {low:g}: a logarithmic scale needs positive numbers, take scale: linear")
    return Range(name, float(low), float(high), "linear" if scale == "linear" or low <= 0 else "log", integer)


def _make_choices(name: str, values: Sequence[Any], path: str) -> Choices:
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        raise ConfigError(f"{path} has the choices {list(values)!r}: give finite numbers")
    if len(values) < 2 or any(value in values[:i] for i, value in enumerate(values)):
        raise ConfigError(f"{path} has the choices {list(values)!r}: give two or more different ones")
    return Choices(name, tuple(values))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def search(score: Score, parameters: Sequence[Parameter], evaluations: int) -> Values:
    """Find the values with the best score, one parameter after the other.

    Half of the evaluations of each parameter are a coarse grid over its whole range, with the other parameters held at
    their middle or their best value so far; then each parameter is refined in turn.

    Args:
        score: higher is better; it may be called again with the same values and should cache them.
        evaluations: for each parameter, 3 or more; choices are all tried.

    >>> best = search(lambda v: -(v["x"] - 3) ** 2, [Range("x", 0.0, 10.0, "linear")], evaluations=16)
    >>> abs(best["x"] - 3) < 0.05
    True
    """
    coarse = math.ceil(evaluations / 2)
    best: Values = {p.name: (values := p.list_coarse(coarse))[(len(values) - 1) // 2] for p in parameters}
    for p in parameters:
        best |= {p.name: max(p.list_coarse(coarse), key=_score_along(score, best, p.name))}
    for p in parameters:
        best |= {p.name: p.refine(_score_along(score, best, p.name), best[p.name], coarse, evaluations - coarse)}
    return best


def _score_along(score: Score, at: Values, name: str) -> ScoreAlong:
    fixed = dict(at)
    return lambda value: score({**fixed, name: value})
