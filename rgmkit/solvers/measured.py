"""What rgmkit's solvers ask of a measurement."""

from __future__ import annotations

from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.solver import Problem

LEAST_NOISE = 1e-3  # a quarter of a grey value of 8 bits: a measurement is never more exact than this


def noise_of(degradation: Degradation) -> float:
    """The noise std that weighs the fidelity; at least 1e-3, so that no weight is infinite."""
    return max(degradation.noise, LEAST_NOISE)


def residual(x: Tensor, problem: Problem) -> dict[str, float]:
    """`|A x - y|` per pixel (root mean square) for the trace; nothing without a measurement."""
    if problem.y is None or problem.degradation is None:
        return {}
    error = problem.degradation.A(x) - problem.y
    return {"residual": float(error.square().mean().sqrt())}
