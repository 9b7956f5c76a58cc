"""Everything that is looked at before anything runs."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rgmkit.adapters import fitted
from rgmkit.arguments import default_solver
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import NoPrior
from rgmkit.core.solver import Problem
from rgmkit.errors import ConfigError, DataError, IncompatibleError
from rgmkit.experiment.bench import usable
from rgmkit.experiment.cells import Cell, cells
from rgmkit.experiment.folder import Facts, begun, same_pictures
from rgmkit.experiment.grid import Grid, read_grid
from rgmkit.experiment.methods import Method, naming
from rgmkit.experiment.photographs import BUNDLED, Photograph


@dataclass(frozen=True, eq=False)
class Plan:
    """A grid that was checked, and where it runs.

    Attributes:
        training: the images that numbers are tuned on.
        goes_on: whether the folder holds a part of this run already.
    """

    grid: Grid
    folder: Path
    photographs: tuple[Photograph, ...]
    training: tuple[Photograph, ...]
    goes_on: bool

    @property
    def cells(self) -> list[Cell]:
        """All cells, done or not."""
        return cells(self.grid, self.photographs)

    @property
    def facts(self) -> Facts:
        """What the run fixes."""
        ends = {m.label: {n.name: list(n.ends()) for n in m.numbers} for m in self.grid.methods if m.numbers}
        sources = [[photograph.source for photograph in some] for some in (self.photographs, self.training)]
        return Facts(sources[0], sources[1], len(self.cells), ends)


def make_plan(
    grid: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    overwrite: bool = False,
) -> Plan:
    """Read a grid and check all of it; nothing is written. See `rgmkit.experiment.run`."""
    found = read_grid(grid, overrides)
    stem = "grid" if isinstance(grid, Mapping) else Path(grid).stem
    folder = Path("runs") / stem if out is None else Path(out)
    tuning = found.tuning
    fixed = None if overwrite and (folder / "grid.yaml").exists() else begun(folder, found.content)
    if fixed:
        same_pictures(folder, found.data, fixed.pictures, "data")
        if tuning:
            same_pictures(folder, tuning.data, fixed.training, "tune.data")
    with naming("data"):
        photographs = found.data.taken(fixed.pictures if fixed else None)
    with naming("tune.data"):
        training = tuning.data.taken(fixed.training if fixed else None) if tuning else []
    _check_apart(photographs, training)
    _rehearse(found, found.methods, photographs, "data", goes_on=fixed is not None)
    _rehearse(found, [m for m in found.methods if m.numbers], training, "tune.data", goes_on=fixed is not None)
    return Plan(found, folder, tuple(photographs), tuple(training), fixed is not None)


def _check_apart(photographs: Sequence[Photograph], training: Sequence[Photograph]) -> None:
    """Raise a ConfigError if a training image is a test image, too, under another name even."""
    for one in training:
        for other in photographs:
            if one.source == other.source or _same_content(one.source, other.source):
                names = one.source if one.source == other.source else f"{one.source}, the same as {other.source},"
                raise ConfigError(f"tune.data has {names} which is in data: tune on pictures that are not compared on")


def _same_content(a: str, b: str) -> bool:
    if a.startswith(BUNDLED) or b.startswith(BUNDLED):
        return False
    try:
        return Path(a).stat().st_size == Path(b).stat().st_size and filecmp.cmp(a, b, shallow=False)
    except OSError:  # one has vanished, which the cells will say
        return False


def _rehearse(
    grid: Grid, methods: Sequence[Method], photographs: Sequence[Photograph], key: str, *, goes_on: bool
) -> None:
    """Try every degradation and method on an empty picture of every size that there is."""
    shapes: dict[tuple[int, int, int], Photograph] = {}
    for photograph in photographs:
        try:
            with naming(key):
                shapes.setdefault(photograph.shape(), photograph)
        except DataError:
            if not goes_on:  # a picture that has vanished since fails in its own cells
                raise
    for shape, photograph in shapes.items():
        for i, operator in enumerate(grid.operators if methods else ()):
            with naming(f"degradation[{i}], with {photograph.label} ({key})"):
                problem = _problem(operator.degradation, shape)
            for method in methods:
                with naming(f"{method.path}, with degradation[{i}] and {photograph.label} ({key})"):
                    _check_method(method, problem)


@torch.no_grad()
def _problem(degradation: Degradation, shape: tuple[int, int, int]) -> Problem:
    x = usable(torch.zeros(1, *shape), degradation)
    problem = Problem.measured(degradation.A(x), degradation, NoPrior())
    if problem.shape != tuple(x.shape):
        raise IncompatibleError(
            f"{type(degradation).__name__} makes a measurement of {tuple(x.shape)} that it takes for one of "
            f"{problem.shape}: give the operator an image_shape that agrees with A"
        )
    return problem


def _check_method(method: Method, problem: Problem) -> None:
    assert problem.y is not None and problem.degradation is not None
    prior, solver = method.build({n.name: n.coarse(2)[0] for n in method.numbers})
    if prior is None:
        prior = NoPrior()
    solver = solver or default_solver(prior, problem.degradation)
    prior, _ = fitted(prior, problem.shape, like=problem.y, tile=method.tile)
    solver.check(Problem(prior, problem.shape, problem.y, problem.degradation))
