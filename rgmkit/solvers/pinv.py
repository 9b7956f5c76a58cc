"""Least squares: what the measurement alone says."""

from __future__ import annotations

from typing import ClassVar, final

from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.solvers.measurement import residual


@final
class PseudoInverse(Solver):
    """`x = A^+ y`, the image of least norm among those nearest to the measurement; needs no prior.

    What the operator loses stays 0, and noise is amplified where it nearly does: a baseline, and the answer
    where there is little noise and little loss.
    """

    needs_noise: ClassVar[bool] = False

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        assert problem.y is not None and problem.degradation is not None  # `check` has seen to it
        x = problem.degradation.pinv(problem.y)
        callback(1, 1, x)
        return Solution(x, trace=[residual(x, problem)])
