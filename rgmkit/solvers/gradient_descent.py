"""Gradient descent for explicit priors that have a value and a gradient."""

from __future__ import annotations

from typing import ClassVar, cast, final

import torch
from torch import Tensor

from rgmkit.core.bounds import Iterations, NonNegative
from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import dot, per_image
from rgmkit.core.prior import Prior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.solvers.measurement import change, freeze_converged, noise_of, relative_noise, trace_row

DECREASE = 1e-4  # least decrease of F, relative to that of its linear approximation (Armijo)
HALVINGS = 12  # of a step, before the image is left as it is
LARGEST = 1e3  # step, relative to that for the fidelity alone


@final
class GradientDescent(Solver):
    """Minimise `F(x) = 1/2 |(A x - y) / noise|^2 + g(x)` by gradient descent:

        x_{k+1} = x_k - step_k grad F(x_k),    step_k = |s|^2 / <s, d>,
        s = x_k - x_{k-1},    d = grad F(x_k) - grad F(x_{k-1}).

    Each image has steps of its own. A step is halved until F falls; the first one is `noise^2 / |A|^2`. x_0 is
    `initial_estimate(y)`. A prior without a weight gets the default for this noise and operator.

    Args:
        iterations: at most.
        tolerance: an image has converged, and is frozen, when `|x_k - x_{k-1}| <= tolerance |x_k|`; 0 for never.

    The trace has "residual", the root mean square of A x - y, and "change", the largest relative change in the batch.

    Source: Barzilai and Borwein, "Two-Point Step Size Gradient Methods", 1988 (the steps).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"value", "grad"})
    differentiable: ClassVar[bool] = True

    def __init__(self, *, iterations: Iterations = 200, tolerance: NonNegative = 1e-4) -> None:
        self.iterations, self.tolerance = iterations, tolerance

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        x = cast(Degradation, problem.degradation).initial_estimate(cast(Tensor, problem.y))
        F, first = _Objective(problem), relative_noise(problem) ** 2
        step = torch.full((len(x),), first, dtype=x.dtype, device=x.device)
        converged = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        trace: list[dict[str, float]] = []
        gradient = F.grad(x)
        for k in range(self.iterations):
            before, old = x, gradient
            x = freeze_converged(converged, x, descend(F, x, gradient, step))
            gradient = F.grad(x)
            trace.append(trace_row(before, x, problem))
            callback(k + 1, self.iterations, x)
            converged = converged | (change(before, x) <= self.tolerance)
            if bool(converged.all()):
                break
            s, d = x - before, gradient - old
            curvature = dot(s, d) / dot(s, s).clamp(min=torch.finfo(x.dtype).tiny)
            step = (1 / curvature.clamp(min=1 / (LARGEST * first))).detach()
        notes = () if bool(converged.all()) or not self.tolerance else (
            f"not converged after {self.iterations} iterations: the last one changed the image by "
            f"{trace[-1]['change']:.1e} of its norm; give more iterations",
        )  # fmt: skip
        nfe = F.evaluations if any(True for _ in F.prior.parameters()) else 0  # a prior without weights has no network
        return Solution(x, nfe=nfe, trace=trace, notes=notes)


class _Objective:
    """`F(x)` of each image, (B,), and its gradient; `evaluations` counts those of the prior's value and gradient."""

    def __init__(self, problem: Problem) -> None:
        self.degradation, self.y = cast(Degradation, problem.degradation), cast(Tensor, problem.y)
        self.prior: Prior = problem.prior.with_default_weight(problem)
        self.variance, self.evaluations = noise_of(problem) ** 2, 0

    def value(self, x: Tensor) -> Tensor:
        self.evaluations += 1
        residual = self.degradation.A(x) - self.y
        return dot(residual, residual) / (2 * self.variance) + self.prior.value(x)

    def grad(self, x: Tensor) -> Tensor:
        self.evaluations += 1
        return self.degradation.adjoint(self.degradation.A(x) - self.y) / self.variance + self.prior.grad(x)


def descend(F: _Objective, x: Tensor, gradient: Tensor, step: Tensor) -> Tensor:
    """Take the largest of the steps `step`, `step / 2`, … that lowers F enough; `x` itself where none does."""
    with torch.no_grad():
        now, slope = F.value(x), dot(gradient, gradient)
        for _ in range(HALVINGS):
            enough = F.value(x - per_image(step, x) * gradient) <= now - DECREASE * step * slope
            if bool(enough.all()):
                break
            step = torch.where(enough, step, step / 2)
        else:
            step = torch.where(enough, step, 0.0)
    return x - per_image(step, x) * gradient
