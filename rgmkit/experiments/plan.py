"""Check the whole grid before anything runs, and list its cells."""

from __future__ import annotations

import filecmp
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rgmkit.adapters import fit_prior
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import NoPrior
from rgmkit.core.random import seeded
from rgmkit.core.solver import Problem
from rgmkit.errors import ConfigError, DataError, IncompatibleError, naming
from rgmkit.experiments.cells import Cell, list_cells
from rgmkit.experiments.config import BOUNDARY, Grid, read_grid
from rgmkit.experiments.methods import Method
from rgmkit.experiments.photographs import BUNDLED, Photograph, crop_to_fit
from rgmkit.experiments.run_folder import RunFacts, check_pictures, find_run


@dataclass(frozen=True, eq=False)
class Plan:
    """A checked grid, and the folder of its run.

    Attributes:
        training: the images that parameters are tuned on.
        continues: whether the folder already holds a part of this run.
        unfit: why a method cannot be used with a degradation, by the positions (degradation, method) in the grid.
    """

    grid: Grid
    folder: Path
    photographs: tuple[Photograph, ...]
    training: tuple[Photograph, ...]
    continues: bool
    unfit: dict[tuple[int, int], str]

    @property
    def cells(self) -> list[Cell]:
        """All cells, done or not."""
        return list_cells(self.grid, self.photographs)

    @property
    def facts(self) -> RunFacts:
        """The facts to store when the run begins."""
        ends = {m.label: {p.name: list(p.ends()) for p in m.parameters} for m in self.grid.methods if m.parameters}
        metrics = dict(self.grid.metrics)
        if self.grid.tuning:
            metrics.setdefault(self.grid.tuning.metric_label, self.grid.tuning.metric)
        pictures, training = ([one.source for one in some] for some in (self.photographs, self.training))
        infos = {label: asdict(metric.info) for label, metric in metrics.items()}
        sets = [sum(one.set == data.name for one in self.photographs) for data in self.grid.sets]
        return RunFacts(pictures, training, len(self.cells), ends, infos, BOUNDARY, sets if len(sets) > 1 else [])


def make_plan(
    grid: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    overwrite: bool = False,
) -> Plan:
    """Read and check a whole grid without writing anything. The arguments are those of `rgmkit.experiments.run`."""
    overrides = list(overrides)
    found = read_grid(grid, overrides)
    stem = "grid" if isinstance(grid, Mapping) else Path(grid).stem
    folder = Path("runs") / stem if out is None else Path(out)
    tuning = found.tuning
    facts = None if overwrite and (folder / "grid.yaml").exists() else find_run(folder, found.content)
    if facts:
        found = read_grid(grid, overrides, boundary=facts.boundary)
        for data, sources in zip(found.sets, _split(facts), strict=True):
            check_pictures(folder, data, sources, "data")
        if tuning:
            check_pictures(folder, tuning.data, facts.training, "tune.data")
    with naming("data"):
        known = _split(facts) if facts else [None] * len(found.sets)
        photographs = [one for data, sources in zip(found.sets, known, strict=True) for one in data.select(sources)]
    with naming("tune.data"):
        training = tuning.data.select(facts.training if facts else None) if tuning else []
    _check_apart(photographs, training)
    pairs = [
        (i, j)
        for (i, operator), (j, method) in itertools.product(enumerate(found.operators), enumerate(found.methods))
        if method.covers(operator.label)
    ]
    unfit = _rehearse(found, pairs, photographs, "data", continues=facts is not None)
    for i, j in unfit:  # a method that fits no degradation is a mistake, and vice versa
        if all((i, b) in unfit for a, b in pairs if a == i) or all((a, j) in unfit for a, b in pairs if b == j):
            raise unfit[i, j]
    tuned = [(i, j) for i, j in pairs if found.methods[j].parameters and (i, j) not in unfit]
    for error in _rehearse(found, tuned, training, "tune.data", continues=facts is not None).values():
        raise error
    reasons = {pair: str(error.__cause__ or error) for pair, error in unfit.items()}  # without the place in the grid
    return Plan(found, folder, tuple(photographs), tuple(training), facts is not None, reasons)


def _split(facts: RunFacts) -> list[list[str]]:
    """Return the sources of the test images, set by set."""
    sources = iter(facts.pictures)
    return [list(itertools.islice(sources, count)) for count in facts.sets or [len(facts.pictures)]]


def _check_apart(photographs: Sequence[Photograph], training: Sequence[Photograph]) -> None:
    """Raise a ConfigError if a training image is also a test image, by its path or its content."""
    for one in training:
        for other in photographs:
            if one.source == other.source or _same_content(one.source, other.source):
                names = one.source if one.source == other.source else f"{one.source}, the same as {other.source},"
                raise ConfigError(f"tune.data has {names} which is in data: tune on pictures that are not test images")


def _same_content(a: str, b: str) -> bool:
    if a.startswith(BUNDLED) or b.startswith(BUNDLED):
        return False
    try:
        return Path(a).stat().st_size == Path(b).stat().st_size and filecmp.cmp(a, b, shallow=False)
    except OSError:  # a deleted file: its cells will fail and say so
        return False


def _rehearse(
    grid: Grid, pairs: Sequence[tuple[int, int]], photographs: Sequence[Photograph], key: str, *, continues: bool
) -> dict[tuple[int, int], IncompatibleError]:
    """Check each pair on a black picture of every size; return the errors of the pairs that fit no size."""
    shapes: dict[tuple[int, int, int], Photograph] = {}
    for photograph in photographs:
        try:
            with naming(key):
                shapes.setdefault(photograph.shape(), photograph)
        except DataError:
            if not continues:  # a picture deleted since the run began fails in its own cells
                raise
    unfit: dict[tuple[int, int], list[IncompatibleError]] = {}
    for shape, photograph in shapes.items():
        for i, some in itertools.groupby(pairs, key=lambda pair: pair[0]):
            with naming(f"degradation[{i}], with {photograph.label} ({key})"):
                problem = _make_problem(grid.operators[i].degradation, shape)
            for _, j in some:
                method = grid.methods[j]
                try:
                    with naming(f"{method.path}, with degradation[{i}] and {photograph.label} ({key})"):
                        _check_method(method, problem)
                except IncompatibleError as error:
                    unfit.setdefault((i, j), []).append(error)
    for errors in unfit.values():
        if len(errors) < len(shapes):  # a pair that fits only some pictures is a mistake
            raise errors[0]
    return {pair: errors[0] for pair, errors in unfit.items()}


@torch.no_grad()
def _make_problem(degradation: Degradation, shape: tuple[int, int, int]) -> Problem:
    x = crop_to_fit(torch.zeros(1, *shape), degradation)
    problem = Problem.from_measurement(degradation(x, generator=seeded(0)), degradation, NoPrior())
    if problem.shape != tuple(x.shape):
        raise IncompatibleError(
            f"{degradation.title} makes a measurement of {tuple(x.shape)} that it takes for one of "
            f"{problem.shape}: give the operator an image_shape that agrees with A"
        )
    return problem


def _check_method(method: Method, problem: Problem) -> None:
    assert problem.y is not None and problem.degradation is not None
    prior, solver = method.build({p.name: p.list_coarse(2)[0] for p in method.parameters}, problem.degradation)
    prior, _ = fit_prior(prior, problem.shape, like=problem.y, tile=method.tile)
    solver.check(Problem(prior, problem.shape, problem.y, problem.degradation))
