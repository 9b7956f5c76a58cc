"""The noise of a measurement, where nobody says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rgmkit.config import Spec, build, options_of, parse_spec
from rgmkit.core.degradation import Degradation
from rgmkit.core.solver import Solver
from rgmkit.solvers.measured import LEAST_NOISE


def with_noise(operator: Degradation, asked: Any, y: Tensor, solver: Solver) -> tuple[Degradation, tuple[str, ...]]:
    """The degradation with the noise of `y`, and a note that says so, if it was asked for by name without one.

    Args:
        operator: what was built.
        asked: what it was built of; an object means what its `noise` says.
        y: the measurement.
        solver: one that counts with no noise needs no estimate.

    Raises:
        DataError: if the noise of such a measurement cannot be estimated.
    """
    spec = _spec(asked)
    if spec is None or not solver.needs_noise or "noise" in spec.options or "noise" not in options_of(type(operator)):
        return operator, ()
    found = operator.estimate_noise(y)
    noise = float(f"{max(found, LEAST_NOISE):.3g}")
    note = f"noise estimated from the measurement: std {noise:g}; to set it, give noise="
    if found <= LEAST_NOISE:
        note = f"no noise was found in the measurement: std {noise:g}, the rounding of 8 bits, is assumed"
    return build("degradation", Spec(spec.name, {**spec.options, "noise": noise})), (note,)


def _spec(asked: Any) -> Spec | None:
    if isinstance(asked, str):
        return parse_spec(asked)
    if isinstance(asked, Mapping):
        return Spec(asked["use"], {name: value for name, value in asked.items() if name != "use"})
    return asked if isinstance(asked, Spec) else None
