"""Results that others have published, to be shown beside those of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rgmkit.errors import ConfigError
from rgmkit.experiments.result import name_condition

TEXTS = ("method", "source")


@dataclass(frozen=True)
class Published:
    """A method's published results: an item of `published:`.

    Attributes:
        method: its name in tables.
        source: where the values were published: a citation or an address.
        values: by the title of the table and the label of the metric.
    """

    method: str
    source: str
    values: Mapping[tuple[str, str], float]


def read_published(items: Iterable[Any]) -> tuple[Published, ...]:
    """Read the items of `published:`: method, source, and for each metric the values by degradation.

    With several sets of images, the values are given by set, then by degradation.

    Raises:
        ConfigError: for a missing text or a value that is no number, with its place.

    >>> (row,) = read_published([{"method": "A", "source": "B, 2020", "psnr": {"Set12": {"noise 0.1": 30.5}}}])
    >>> row.values
    {('Set12, noise 0.1', 'psnr'): 30.5}
    """
    return tuple(_read_item(item, f"published[{i}]") for i, item in enumerate(items))


def _read_item(item: Any, path: str) -> Published:
    if not isinstance(item, Mapping):
        raise ConfigError(f"{path} is {item!r}: give {{method: …, source: …, psnr: {{a degradation: a number}}}}")
    for key in TEXTS:
        if not isinstance(item.get(key), str) or not item[key].strip():
            raise ConfigError(f"{path}.{key} is {item.get(key)!r}: give text")
    metrics = {label: values for label, values in item.items() if label not in TEXTS}
    found = {
        (condition, label): value
        for label, values in metrics.items()
        for condition, value in _flatten(values, f"{path}.{label}")
    }
    if not found:
        raise ConfigError(f"{path} has no values: give some, such as psnr: {{a degradation: a number}}")
    return Published(item["method"], item["source"], found)


def _flatten(values: Any, path: str, images: str = "") -> Iterator[tuple[str, float]]:
    """Iterate over (title of the table, value)."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path} is {values!r}: give a number for each degradation, {{a degradation: a number}}")
    for key, value in values.items():
        if isinstance(value, Mapping) and not images:
            yield from _flatten(value, f"{path}.{key}", str(key))
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            yield name_condition(images, str(key)), float(value)
        else:
            raise ConfigError(f"{path}.{key} is {value!r}: give a number")
