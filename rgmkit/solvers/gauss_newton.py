"""Operators that are not linear: solve a sequence of linear problems."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, cast, final

import torch
from torch import Tensor

from rgmkit.config import build
from rgmkit.core.bounds import Iterations
from rgmkit.core.degradation import Degradation
from rgmkit.core.linearised import clip_images, linearise
from rgmkit.core.noise import FixedNoise
from rgmkit.core.prior import NoPrior, Prior, RestoringPrior
from rgmkit.core.random import Randomness, Streams, randn, repeat, seeded
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.core.whitened import Whitened
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import (
    change,
    largest_residual,
    noise_of,
    residual_entry,
    residuals,
    restore_as_trained,
    rms,
    trace_row,
)
from rgmkit.solvers.noise_levels import solve_at
from rgmkit.solvers.one_shot import OneShot

DECREASE = 0.1  # least decrease of the residual, as a share of what the linear approximation promises
EXCESS = 1.5  # largest residual over that of the linear approximation, where the prior raises it
POSITIVE = 0.5  # least mean squared sum of a row, over that of its response to white noise, for `solve_linear`
LEAST_ROW = 0.02  # relative to the largest sum of a row; a smaller one is taken as this
STEPS = 8  # tried: 1, 1/2, ... 1/128


@final
class GaussNewton(Solver):
    """Restore an image from a nonlinear measurement by repeated linearisation of the operator.

    With J_k the derivative of A at the estimate x_k, each iteration restores from a linear measurement,

        x' = solver(y - A(x_k) + J_k x_k, J_k),    x_{k+1} = x_k + step (x' - x_k),

    with any solver and prior for linear operators. The step is 1, and is halved until the residual is at most the
    noise, or falls by a tenth of what the linear approximation promises (where the prior raises it: rises to no more
    than 1.5 times the promised one). So the iteration does not diverge. Images are clipped to [0, 1], since an operator
    need not be defined elsewhere. x_0 is `initial_estimate(y)`.

    An image has converged when a whole step changes it by no more than `tolerance |x|`; a note tells if one has not.
    A network that was trained on this operator restores y itself, unless a `solver` is given, as with `one-shot`.
    Each image of a batch is restored on its own, in every iteration with the same random numbers. A gradient is that
    of one more iteration, with the last estimate as a constant: it errs by up to a tenth where the residual is large
    and A curved.

    Args:
        solver: of the linear problems. Default: that for a linear operator: `pnp-drs` with a network, `pinv` without a
            prior, `admm` with any other.
        iterations: at most.
        tolerance: of the relative change.

    Raises:
        ConfigError: if an option is out of range.
        IncompatibleError: if A cannot be differentiated.

    Source: the Gauss-Newton method with a prior, as in Salzo and Villa, "Convergence analysis of a proximal
    Gauss-Newton method", 2012; Bolte et al., "One-step differentiation of iterative algorithms", 2023.
    """

    needs_linear: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True

    def __init__(self, *, solver: Solver | None = None, iterations: Iterations = 8, tolerance: float = 0.02) -> None:
        if iterations < 1 or not tolerance >= 0:
            raise ConfigError(f"iterations is {iterations} and tolerance {tolerance}: give 1 or more, and 0 or more")
        self.solver, self.iterations, self.tolerance = solver, iterations, tolerance

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        trained = restore_as_trained(problem, generator) if self.solver is None else None
        if trained is not None:
            x, evaluations = trained
            callback(1, 1, x)
            return Solution(x, nfe=evaluations, trace=[residual_entry(x, problem)])
        solver = self.solver or choose_linear_solver(problem.prior)
        count = problem.shape[0]
        draws = [generator.only(i) if isinstance(generator, Streams) else generator for i in range(count)]
        with torch.no_grad():
            solution = self._iterate(problem, solver, draws, callback)
        if not torch.is_grad_enabled():
            return solution
        steps = [take_step(problem, solution.x, i, solver, draws[i])[0] for i in range(count)]
        return replace(
            solution, x=torch.cat([step.x for step in steps]), nfe=solution.nfe + max(step.nfe for step in steps)
        )

    def _iterate(self, problem: Problem, solver: Solver, draws: list[Randomness], callback: Callback) -> Solution:
        """Iterate until every image has converged; each of `draws` is left as it was before the first iteration."""
        x = cast(Degradation, problem.degradation).initial_estimate(cast(Tensor, problem.y))
        active, nfe = list(range(len(x))), [0] * len(x)
        trace: list[dict[str, float]] = []
        notes: tuple[str, ...] = ()
        for k in range(self.iterations):
            before, x = x, x.clone()
            for i in list(active):
                random, draws[i] = draws[i], repeat(draws[i])
                solution, whole = take_step(problem, before, i, solver, random)
                x[i : i + 1], notes = solution.x, solution.notes
                nfe[i] += solution.nfe
                if whole and float(change(before[i : i + 1], solution.x)) <= self.tolerance:
                    active.remove(i)
            trace.append(trace_row(before, x, problem))
            callback(k + 1, self.iterations, x)
            if not active:
                break
        if active:
            last = f"the last one changed the image by {trace[-1]['change']:.1e} of its norm"
            notes += (f"not converged after {self.iterations} linearisations: {last}; give more iterations",)
        return Solution(x, nfe=max(nfe), trace=trace, notes=notes)

    def check_differentiable(self, prior: Prior) -> None:
        """Raise an IncompatibleError if the estimate of the solver of linear problems cannot be differentiated."""
        (self.solver or choose_linear_solver(prior)).check_differentiable(prior)


def take_step(
    batch: Problem, estimates: Tensor, i: int, solver: Solver, generator: Randomness
) -> tuple[Solution, bool]:
    """Restore image i from the linear approximation at its estimate; return the next, and whether the step is 1."""
    x, y = estimates[i : i + 1], cast(Tensor, batch.y)[i : i + 1]
    degradation, problem = cast(Degradation, batch.degradation), replace(batch, shape=(1, *batch.shape[1:]), y=y)
    linear = linearise(degradation, x)
    approximation = replace(problem, y=linear.shift(y), degradation=linear)
    vars(approximation)["rounding_step"] = problem.rounding_step
    solver.check(approximation)
    solution = solve_linear(approximation, solver, generator)
    aim, noise, now = clip_images(solution.x), largest_residual(approximation), float(residuals(x, problem))
    for step in (0.5**k for k in range(STEPS)):
        found = x.lerp(aim, step)
        expected = float(rms(linear.A(found) - cast(Tensor, approximation.y)))
        allowed = now - DECREASE * (now - expected) if expected < now else EXCESS * expected
        if float(residuals(found, problem)) <= max(noise, allowed):
            return replace(solution, x=found), step == 1
    return replace(solution, x=x), False


def solve_linear(problem: Problem, solver: Solver, generator: Randomness) -> Solution:
    """Solve a linear problem; rows of A of differing size count as noise of differing std.

    Where A keeps the sign of a white image, as a pointwise map or a blur followed by one does, each row is divided by
    its sum, and the noise, too: the solver is told the scale of the first, and the mean of the second.
    """

    def solve(problem: Problem, _: Callback | None) -> Solution:
        return solver._solve(problem, generator=generator, callback=lambda *_: None)

    degradation, y = cast(Degradation, problem.degradation), cast(Tensor, problem.y)
    with torch.no_grad():
        one = torch.ones(problem.shape, dtype=y.real.dtype, device=y.device)
        e = randn(problem.shape, generator=seeded(0), dtype=y.real.dtype, device=y.device)
        sums, response = degradation.A(one).abs(), degradation.A(e)
    if not float(sums.square().mean()) > POSITIVE * float(response.square().mean()):
        return solve(problem, None)
    sums = sums.clamp(min=LEAST_ROW * float(sums.max()))
    rows = Whitened(degradation, FixedNoise(sums), y, unit=1.0)
    divided = rows.with_noise(FixedNoise(noise_of(problem) / sums))
    return solve_at(replace(problem, y=rows.whiten(y), degradation=divided), y, solve, None, rough=True)


def choose_solver(prior: Prior, degradation: Degradation) -> Solver:
    """Choose the default solver for a prior and an operator."""
    if "invert" in prior.provides:
        return OneShot()
    if degradation.default_solver and "prox" in prior.provides:
        own: Solver = build("solver", degradation.default_solver)
        return own
    if not degradation.linear and degradation.linearisable:
        return GaussNewton()
    if not degradation.linear and isinstance(prior, RestoringPrior):
        return OneShot()
    return choose_linear_solver(prior)


def choose_linear_solver(prior: Prior) -> Solver:
    """Choose the default solver for a prior and a linear operator."""
    solver: Solver = build("solver", _name_linear_solver(prior))
    return solver


def _name_linear_solver(prior: Prior) -> str:
    if isinstance(prior, NoPrior):
        return "pinv"
    if isinstance(prior, RestoringPrior):
        return "pnp-drs"
    return "gradient-descent" if "grad" in prior.provides and "prox" not in prior.provides else "admm"
