"""The grid: from a YAML file, or a mapping, to everything that an experiment consists of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rgmkit.config import make, metric, override, parse_spec, read_yaml, take_plugins
from rgmkit.core.degradation import Degradation
from rgmkit.errors import ConfigError, naming
from rgmkit.experiments.methods import Method, read_method
from rgmkit.experiments.photographs import Photographs
from rgmkit.experiments.serialize import label_of, plain
from rgmkit.resolve import resolve_degradation

FEWEST = 4  # evaluations of a search: both ends and two more


@dataclass(frozen=True, kw_only=True)
class Keys:
    """A grid as it is written.

    Attributes:
        data: the pictures, see `Photographs`.
        degradation: one or a list of them.
        method: one or a list of them, see `rgmkit.experiments.methods.Keys`.
        metrics: names of figures. Default: all.
        seeds: of the measurements and the solvers: a list, or how many, from 0 on.
        tune: on what and how numbers are tuned, see `TuneKeys`.
        title: of the tables and the report. Default: the name of the folder.
        plugins: Python files with components, loaded before the rest is looked at.
    """

    data: Mapping[str, Any]
    degradation: Any
    method: Any
    metrics: str | list[str] = "all"
    seeds: int | list[int] = 1
    tune: Mapping[str, Any] | None = None
    title: str | None = None
    plugins: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class TuneKeys:
    """The `tune:` of a grid.

    Attributes:
        data: the training images; none of them may be a test image.
        seeds: of their measurements: a list, or how many.
        evaluations: for each number of each method and degradation.
        metric: that is to be best on average.
    """

    data: Mapping[str, Any]
    seeds: int | list[int] = 1
    evaluations: int = 12
    metric: str = "psnr"


@dataclass(frozen=True, eq=False)
class Operator:
    """A degradation of the grid and its label."""

    label: str
    degradation: Degradation


@dataclass(frozen=True, eq=False)
class Tuning:
    """How numbers are tuned, and on what."""

    data: Photographs
    seeds: tuple[int, ...]
    evaluations: int
    metric: str


@dataclass(frozen=True, eq=False)
class Grid:
    """An experiment: each picture under each degradation, restored by each method, once for each seed.

    Attributes:
        content: the grid as plain values, every label written out.
    """

    data: Photographs
    operators: tuple[Operator, ...]
    methods: tuple[Method, ...]
    metrics: tuple[str, ...]
    seeds: tuple[int, ...]
    tuning: Tuning | None
    content: dict[str, Any]


def read_grid(grid: str | Path | Mapping[str, Any], overrides: Iterable[str] = ()) -> Grid:
    """The grid in a YAML file or a mapping; every degradation, prior and solver of it is built.

    Args:
        grid: file paths in a YAML are relative to its folder. In a mapping, `use: OBJECT` and `prior: OBJECT`
            take objects.
        overrides: `path=value` changes, such as `data.limit=2` or `method.0.solver.iterations=50`.

    Raises:
        ConfigError, PluginError, CheckpointError: for what does not fit, with where it stands and the nearest
            valid name.
    """
    folder = Path() if isinstance(grid, Mapping) else Path(grid).parent
    given = dict(grid) if isinstance(grid, Mapping) else read_yaml(grid)
    content = take_plugins(override(given, overrides), folder)
    keys = make(Keys, content, what="a grid")
    operators = tuple(_operators(keys.degradation, folder))
    methods = tuple(_methods(keys.method, folder))
    tuning = None if keys.tune is None else _tuning(keys.tune, folder)
    _check_tuned(methods, tuning)
    metrics = ["psnr", "ssim"] if keys.metrics == "all" else _list(keys.metrics)
    return Grid(
        data=make(Photographs, keys.data, path="data", what="data", folder=folder),
        operators=operators,
        methods=methods,
        metrics=tuple(_metrics(metrics)),
        seeds=_seeds(keys.seeds, "seeds"),
        tuning=tuning,
        content={
            **plain(content),
            "degradation": _named(content["degradation"], [operator.label for operator in operators]),
            "method": _named(content["method"], [method.label for method in methods]),
            "metrics": metrics,
            "seeds": list(_seeds(keys.seeds, "seeds")),
        },
    )


def _operators(given: Any, folder: Path) -> Iterable[Operator]:
    labels: dict[str, str] = {}
    for i, item in enumerate(_filled(given, "degradation")):
        path, spec = f"degradation[{i}]", item
        name = None
        if isinstance(item, Mapping):
            spec = {key: value for key, value in item.items() if key != "name"}
            name = item.get("name")
            if not isinstance(spec.get("use", ""), str):
                spec = spec["use"]
        with naming(path):
            degradation = resolve_degradation(spec, simulate=True, path=path, folder=folder)
        yield Operator(_label(name, label_of(spec), path, labels), degradation)


def _methods(given: Any, folder: Path) -> Iterable[Method]:
    labels: dict[str, str] = {}
    for i, item in enumerate(_filled(given, "method")):
        method = read_method(item, f"method[{i}]", folder)
        method.check()
        _label(None, method.label, method.path, labels)
        yield method


def _tuning(given: Mapping[str, Any], folder: Path) -> Tuning:
    keys = make(TuneKeys, given, path="tune", what="tune")
    if keys.evaluations < FEWEST:
        raise ConfigError(f"tune.evaluations is {keys.evaluations}: give {FEWEST} or more")
    with naming("tune.metric"):
        metric(keys.metric)
    data = make(Photographs, keys.data, path="tune.data", what="tune.data", folder=folder)
    return Tuning(data, _seeds(keys.seeds, "tune.seeds"), keys.evaluations, keys.metric)


def _check_tuned(methods: Sequence[Method], tuning: Tuning | None) -> None:
    tuned = [method for method in methods if method.numbers]
    if tuned and tuning is None:
        raise ConfigError(
            f"{tuned[0].path}.tune needs training images: give the grid a tune: {{data: {{path: …}}}} of other "
            f"pictures than its data"
        )
    if tuning and not tuned:
        raise ConfigError("tune is given, and no method says what is tuned: give one tune: {prior.weight: [0.1, 100]}")


def _metrics(names: Sequence[str]) -> Iterable[str]:
    for i, name in enumerate(names):
        with naming(f"metrics[{i}]"):
            metric(name)
        if name in names[:i]:
            raise ConfigError(f"metrics[{i}] is {name!r} again: name each metric once")
        yield name


def _seeds(given: int | list[int], path: str) -> tuple[int, ...]:
    seeds = list(range(given)) if isinstance(given, int) else given
    if not seeds:
        raise ConfigError(f"{path} is {given!r}: give how many, 1 or more, or a list such as [0, 1]")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"{path} is {given!r}: give each seed once")
    return tuple(seeds)


def _filled(given: Any, key: str) -> list[Any]:
    items = _list(given)
    if not items:
        raise ConfigError(f"{key} is empty: give one {key} or more")
    return items


def _list(given: Any) -> list[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _label(name: Any, default: str, path: str, labels: dict[str, str]) -> str:
    """The label of an item, once it is known to be no other's: `labels` has the path of each."""
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise ConfigError(f"{path}.name is {name!r}: give text")
    label = name or default
    if label in labels:
        raise ConfigError(f"{labels[label]} and {path} are both called {label!r}: give one of them another name")
    labels[label] = path
    return label


def _named(given: Any, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The items as mappings with their labels."""
    items = []
    for item, label in zip(_list(given), labels, strict=True):
        content = plain(parse_spec(item) if isinstance(item, str) else item)
        items.append({**(content if isinstance(content, dict) else {"use": content}), "name": label})
    return items
