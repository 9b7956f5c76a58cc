"""The methods of a grid: priors and solvers, each built once per choice of the tuned parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rgmkit import plugins
from rgmkit.config import build, is_integer, make, options_of, override, parse_spec
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import NoPrior, Prior
from rgmkit.core.solver import Solver
from rgmkit.errors import ConfigError, naming, suggest
from rgmkit.experiments.line_search import Parameter, Values, read_range
from rgmkit.experiments.serialize import label_of
from rgmkit.models import find_model
from rgmkit.resolve import resolve_prior, resolve_solver

PARTS = ("prior", "solver")


@dataclass(frozen=True, kw_only=True)
class MethodSchema:
    """The keys of an item of `method:`.

    Attributes:
        name: its label. Default: made of the prior and the solver.
        prior: a prior or a model; not needed by some solvers.
        solver: a solver. Default: the one that `rgmkit.restore` chooses for the prior.
        tile: side in pixels of the tiles that a network restores. Default: as the free memory allows.
        tune: the options to tune, with their ranges: {"prior.weight": [0.1, 100]}.
        only: the labels of the degradations that it is used for. Default: all. Methods for different degradations may
            have the same name.
    """

    name: str | None = None
    prior: Any = None
    solver: Any = None
    tile: int | None = None
    tune: Mapping[str, Any] | None = None
    only: list[str] | None = None


@dataclass(frozen=True, eq=False)
class Method:
    """A prior and a solver, given by their specs, and the options of theirs that are tuned.

    Attributes:
        path: its place in the grid, for error messages.
        label: its name in tables and reports.
        specs: the specs of "prior" and "solver"; None for a missing one.
        parameters: the tuned options.
        folder: the folder that relative file paths start from.
        tile: as in `rgmkit.restore`.
        only: the labels of the degradations that it is used for; None for all.
    """

    path: str
    label: str
    specs: dict[str, Any]
    parameters: tuple[Parameter, ...]
    folder: Path
    tile: int | None = None
    only: list[str] | None = None
    _built: dict[str, Any] = field(default_factory=dict)

    def build(self, values: Values, degradation: Degradation) -> tuple[Prior, Solver]:
        """Build the prior and the solver with these values; without a solver, the default one for the degradation.

        Raises:
            RgmkitError: if a name, an option or a model is wrong, with its path.
        """
        with naming(self.path):
            prior, solver = (self._build_part(part, values) for part in PARTS)
            return prior or NoPrior(), resolve_solver(solver, prior or NoPrior(), degradation)

    def covers(self, degradation: str) -> bool:
        """Whether the method is used for a degradation, given by its label."""
        return self.only is None or degradation in self.only

    def check(self) -> None:
        """Build the parts with both ends of each tuned range, so that invalid values are found before anything runs."""
        tuned = {p.name.partition(".")[0] for p in self.parameters}
        with naming(self.path):
            for part in PARTS:
                if part not in tuned:
                    self._build_part(part, {})
        firsts = {p.name: p.list_coarse(2)[0] for p in self.parameters}
        for p in self.parameters:
            for value in p.list_coarse(2):
                with naming(f"{self.path}.tune.{p.name}"):
                    self._build_part(p.name.partition(".")[0], {**firsts, p.name: value})

    def _build_part(self, part: str, values: Values) -> Any:
        """Build the prior or the solver, once per choice of values; return None if the method has none."""
        spec = _insert(self.specs, values)[part]
        key = f"{part} {json.dumps(spec, default=id)}"
        if spec is not None and key not in self._built:
            resolve = resolve_prior if part == "prior" else partial(build, "solver")
            self._built[key] = resolve(spec, path=part, folder=self.folder)
        return self._built.get(key)


def read_method(item: Any, path: str, folder: Path) -> Method:
    """Read a method from its item in a grid; nothing is built yet.

    Raises:
        ConfigError: for an invalid key or value, with its path.
    """
    if not isinstance(item, Mapping):
        raise ConfigError(f"{path} is {item!r}: give a mapping, such as {{prior: tv, solver: {{use: pgd}}}}")
    given = make(MethodSchema, item, path=path, what="a method")
    specs = {"prior": given.prior, "solver": given.solver}
    if given.prior is None and given.solver is None:
        raise ConfigError(f"{path} has neither a prior nor a solver: give one, such as prior: tv or solver: pinv")
    label = given.name or " + ".join(label_of(spec) for spec in specs.values() if spec is not None)
    parameters = [
        _read_parameter(name, asked, specs, f"{path}.tune", folder) for name, asked in (given.tune or {}).items()
    ]
    return Method(path, label, specs, tuple(parameters), folder, given.tile, given.only)


def _read_parameter(name: str, asked: Any, specs: Mapping[str, Any], path: str, folder: Path) -> Parameter:
    """Read a parameter of `tune:`; its name must be the path of an option of the prior or the solver."""
    part, _, option = name.partition(".")
    if part not in PARTS or not option:
        raise ConfigError(f"{path}.{name} does not name an option of the prior or the solver: write prior.weight")
    spec = specs[part]
    if spec is None:
        raise ConfigError(f"{path}.{name}: the method has no {part}, give it one")
    if part == "prior" and find_model(spec, folder):
        model = label_of(spec)
        raise ConfigError(f"{path}.{name}: {model} is a trained model and has no options to tune: tune the solver's")
    if not isinstance(spec, (str, Mapping)):
        raise ConfigError(f"{path}.{name}: the {part} is an object and has no options here: give it by its name")
    used = parse_spec(spec).name if isinstance(spec, str) else spec.get("use")
    integer = False
    if isinstance(used, str) and "." not in option:
        with naming(f"{path}.{name}"):
            known = options_of(plugins.load_class(part, used))
        if option not in known:
            raise ConfigError(f"{path}.{name} is no option of {part} {used!r}: {suggest(option, known)}")
        integer = is_integer(known[option].type)
    return read_range(name, asked, path=f"{path}.{name}", integer=integer)


def _insert(specs: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """Insert the values of tuned parameters into the specs."""
    return override(specs, [f"{name}={json.dumps(value)}" for name, value in values.items()])


def format_values(values: Values) -> str:
    """Format values in one line.

    >>> format_values({"prior.weight": 2.5, "solver.iterations": 8})
    'prior.weight = 2.5, solver.iterations = 8'
    """
    return ", ".join(
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}" for name, value in values.items()
    )
