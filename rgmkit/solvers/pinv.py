"""Least squares without a prior."""

from __future__ import annotations

from typing import ClassVar, final

from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.solvers.measurement import residual_entry


@final
class PseudoInverse(Solver):
    """Compute the least-squares solution of least norm, `x = A^+ y`; needs no prior.

    It is 0 in the null space of A, and amplifies noise where A has small singular values: a baseline, and enough where
    A is well conditioned and the noise is low.
    """

    needs_noise: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        assert problem.y is not None and problem.degradation is not None  # a restoration, see `check`
        x = problem.degradation.pinv(problem.y)
        callback(1, 1, x)
        return Solution(x, trace=[residual_entry(x, problem)])
