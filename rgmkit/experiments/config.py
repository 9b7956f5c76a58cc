"""Read the configuration of an experiment, a grid, and build everything that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rgmkit.config import build, make, override, parse_spec, read_yaml, take_plugins
from rgmkit.core.degradation import Degradation
from rgmkit.core.metric import Metric
from rgmkit.errors import ConfigError, naming, suggest
from rgmkit.experiments.methods import Method, read_method
from rgmkit.experiments.photographs import Photographs
from rgmkit.experiments.published import Published, read_published
from rgmkit.experiments.result import name_condition
from rgmkit.experiments.serialize import label_of, to_plain
from rgmkit.models.lookup import name_boundary
from rgmkit.resolve import DEFAULT_METRICS, resolve_degradation

BOUNDARY = "reflect"  # the default of blurs
MOST_SEEDS = 1_000_000
FEWEST = 4  # evaluations in a search: both ends of the range and two values between them


@dataclass(frozen=True, kw_only=True)
class GridSchema:
    """The keys of a grid.

    Attributes:
        data: the images, see `Photographs`, or a list of several sets of images, each with a name.
        degradation: one degradation, or a list.
        method: one method, or a list, see `MethodSchema`.
        metrics: the metrics; the first is also recorded after each iteration. Default: PSNR and SSIM.
        seeds: random seeds of the measurements and the solvers: a list, or a number n for 0 … n - 1.
        tune: how parameters are tuned, and on which images, see `TuningSchema`.
        title: title of the tables and the report. Default: the name of the folder.
        plugins: Python files with components, loaded before anything else is read.
        published: results of others to show in the tables, see `read_published`.
        folder: the folder that paths start from. Default: that of the YAML file.
    """

    data: Mapping[str, Any] | list[Mapping[str, Any]]
    degradation: Any
    method: Any
    metrics: Any = "all"
    seeds: int | list[int] = 1
    tune: Mapping[str, Any] | None = None
    title: str | None = None
    plugins: list[str] | None = None
    published: list[Mapping[str, Any]] | None = None
    folder: str | None = None


@dataclass(frozen=True, kw_only=True)
class TuningSchema:
    """The keys of `tune:`.

    Attributes:
        data: the training images; none of them may be a test image.
        seeds: random seeds of their measurements: a list, or a number n for 0 … n - 1.
        evaluations: number of evaluations for each parameter, per method and degradation.
        metric: the metric whose mean is optimised.
    """

    data: Mapping[str, Any]
    seeds: int | list[int] = 1
    evaluations: int = 12
    metric: str = DEFAULT_METRICS[0]


@dataclass(frozen=True, eq=False)
class LabelledDegradation:
    """A degradation of the grid and its label."""

    label: str
    degradation: Degradation


@dataclass(frozen=True, eq=False)
class Tuning:
    """How parameters are tuned, and on which images."""

    data: Photographs
    seeds: tuple[int, ...]
    evaluations: int
    metric: Metric
    metric_label: str


@dataclass(frozen=True, eq=False)
class Grid:
    """An experiment: each picture under each degradation, restored by each method, once for each seed.

    Attributes:
        sets: the sets of images; the only one may have no name.
        metrics: the metrics by label.
        content: the grid as plain values, with all labels filled in.
    """

    sets: tuple[Photographs, ...]
    operators: tuple[LabelledDegradation, ...]
    methods: tuple[Method, ...]
    metrics: dict[str, Metric]
    seeds: tuple[int, ...]
    tuning: Tuning | None
    content: dict[str, Any]


def read_grid(grid: str | Path | Mapping[str, Any], overrides: Iterable[str] = (), *, boundary: str = BOUNDARY) -> Grid:
    """Read the grid in a YAML file or a mapping, and build every degradation, prior, solver and metric in it.

    Args:
        grid: a YAML file, whose folder relative paths start from, or a mapping, where `use` and `prior` may be
            objects.
        overrides: `path=value` changes, such as `data.limit=2` or `method.0.solver.iterations=50`.
        boundary: of blurs that name none.

    Raises:
        ConfigError, PluginError, CheckpointError: for a wrong key, name or value, with its place in the grid.
    """
    folder = Path() if isinstance(grid, Mapping) else Path(grid).parent
    raw = dict(grid) if isinstance(grid, Mapping) else read_yaml(grid)
    content = take_plugins(override(raw, overrides), folder)
    given = make(GridSchema, content, what="a grid")
    folder = folder / (given.folder or "")
    operators = tuple(_build_operators(given.degradation, folder, boundary))
    methods = tuple(_read_methods(given.method, [operator.label for operator in operators], folder))
    tuning = None if given.tune is None else _read_tuning(given.tune, folder)
    _check_tuned(methods, tuning)
    chosen = list(DEFAULT_METRICS) if given.metrics == "all" else _filled(given.metrics, "metrics")
    metrics = _build_metrics(chosen, folder)
    sets = tuple(_read_sets(given.data, folder))
    _check_published(read_published(given.published or []), sets, operators, metrics)
    return Grid(
        sets=sets,
        operators=operators,
        methods=methods,
        metrics=metrics,
        seeds=_read_seeds(given.seeds, "seeds"),
        tuning=tuning,
        content={
            **to_plain(content),
            "degradation": _with_labels(content["degradation"], [operator.label for operator in operators]),
            "method": _with_labels(content["method"], [method.label for method in methods]),
            "metrics": list(metrics),
            "seeds": list(_read_seeds(given.seeds, "seeds")),
        },
    )


def _read_sets(given: Any, folder: Path) -> Iterable[Photographs]:
    if isinstance(given, Mapping):
        yield make(Photographs, given, path="data", what="data", folder=folder)
        return
    labels: dict[str, str] = {}
    for i, item in enumerate(_filled(given, "data")):
        photographs = make(Photographs, item, path=f"data[{i}]", what=f"data[{i}]", folder=folder)
        if not photographs.name.strip() and len(given) > 1:
            raise ConfigError(f"data[{i}] has no name: name each of several sets of images")
        _label(photographs.name or None, "", f"data[{i}]", labels)
        yield photographs


def _check_published(
    published: Iterable[Published],
    sets: Sequence[Photographs],
    operators: Sequence[LabelledDegradation],
    metrics: Mapping[str, Metric],
) -> None:
    conditions = [name_condition(data.name, operator.label) for data in sets for operator in operators]
    for i, row in enumerate(published):
        for condition, label in row.values:
            if label not in metrics:
                raise ConfigError(f"published[{i}].{label} is no metric of the grid: {suggest(label, metrics)}")
            if condition not in conditions:
                raise ConfigError(
                    f"published[{i}].{label}: the grid has no {condition!r}: {suggest(condition, conditions)}"
                )


def _build_operators(given: Any, folder: Path, boundary: str) -> Iterable[LabelledDegradation]:
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
            named = name_boundary(spec, boundary)
            degradation = resolve_degradation(named, simulate=True, path=path, folder=folder)
        yield LabelledDegradation(_label(name, label_of(spec), path, labels), degradation)


def _read_methods(given: Any, degradations: Sequence[str], folder: Path) -> Iterable[Method]:
    labels: dict[str, dict[str, str]] = {degradation: {} for degradation in degradations}
    for i, item in enumerate(_filled(given, "method")):
        method = read_method(item, f"method[{i}]", folder)
        method.check()
        for degradation in method.only or degradations:
            if degradation not in labels:
                raise ConfigError(f"{method.path}.only: no degradation {degradation!r}: {suggest(degradation, labels)}")
            _label(None, method.label, method.path, labels[degradation])
        yield method
    without = next((degradation for degradation, methods in labels.items() if not methods), None)
    if without is not None:
        raise ConfigError(f"the degradation {without!r} is in no method's only: add it to one")


def _read_tuning(given: Mapping[str, Any], folder: Path) -> Tuning:
    options = make(TuningSchema, given, path="tune", what="tune")
    if options.evaluations < FEWEST:
        raise ConfigError(f"tune.evaluations is {options.evaluations}: give {FEWEST} or more")
    with naming("tune.metric"):
        metric: Metric = build("metric", options.metric, path="tune.metric", folder=folder)
    data = make(Photographs, options.data, path="tune.data", what="tune.data", folder=folder)
    return Tuning(data, _read_seeds(options.seeds, "tune.seeds"), options.evaluations, metric, options.metric)


def _check_tuned(methods: Sequence[Method], tuning: Tuning | None) -> None:
    tuned = [method for method in methods if method.parameters]
    if tuned and tuning is None:
        raise ConfigError(
            f"{tuned[0].path}.tune needs training images: give the grid a tune: {{data: {{path: …}}}} of other "
            f"pictures than its data"
        )
    if tuning and not tuned:
        raise ConfigError("tune is given, and no method says what is tuned: give one tune: {prior.weight: [0.1, 100]}")


def _build_metrics(given: Sequence[Any], folder: Path) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    for i, item in enumerate(given):
        label = label_of(item)
        with naming(f"metrics[{i}]"):
            metric: Metric = build("metric", item, path=f"metrics[{i}]", folder=folder)
        if label in metrics:
            raise ConfigError(f"metrics[{i}] is {label!r} again: name each metric once")
        metrics[label] = metric
    return metrics


def _read_seeds(given: int | list[int], path: str) -> tuple[int, ...]:
    if isinstance(given, int) and given > MOST_SEEDS:
        raise ConfigError(f"{path} is {given}: give at most {MOST_SEEDS}")
    seeds = list(range(given)) if isinstance(given, int) else given
    if not seeds:
        raise ConfigError(f"{path} is {given!r}: give how many, 1 or more, or a list such as [0, 1]")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"{path} is {given!r}: give each seed once")
    return tuple(seeds)


def _filled(given: Any, key: str) -> list[Any]:
    items = _list(given)
    if not items:
        raise ConfigError(f"{key} is empty: give one {key.removesuffix('s')} or more")
    return items


def _list(given: Any) -> list[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _label(name: Any, default: str, path: str, labels: dict[str, str]) -> str:
    """Return the label of an item and record its path under that label; a label may be used only once."""
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise ConfigError(f"{path}.name is {name!r}: give text")
    label = name or default
    if label in labels:
        raise ConfigError(f"{labels[label]} and {path} are both called {label!r}: give one of them another name")
    labels[label] = path
    return label


def _with_labels(given: Any, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Convert the items to mappings whose `name` is their label."""
    items = []
    for item, label in zip(_list(given), labels, strict=True):
        content = to_plain(parse_spec(item) if isinstance(item, str) else item)
        items.append({**(content if isinstance(content, dict) else {"use": content}), "name": label})
    return items
