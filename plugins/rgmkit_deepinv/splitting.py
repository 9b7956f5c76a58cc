"""Proximal solvers: deepinv's iterations on rgmkit's degradations and priors."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, cast, final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.bounds import Iterations
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import change, freeze_converged, noise_of, relative_noise, residual_entry, rms

if TYPE_CHECKING:
    from rgmkit_deepinv.terms import Fidelity, PriorTerm

WITH_NETWORK = 20  # iterations
NOTEWORTHY = 20  # a last change of more than this times the tolerance is reported in a note


class ProximalSolver(Solver):
    """Minimise `1/2 |(A x - y) / noise|^2 + g(x)` by alternating between the two terms.

    Each iteration uses the prox of the prior, and the gradient or the prox of the fidelity. The least noise std that
    counts is a quarter of a grey level of `y`, see `least_noise`. The solver starts from `initial_estimate(y)`, because
    the pseudo-inverse amplifies noise. An explicit prior without a weight gets the default for this noise and operator.

    With a `RestoringPrior` this is plug and play: the network denoises at the noise std `sqrt(step)`, see
    `RestoringPrior.denoise`, and draws from the solver's generator; no objective is minimised.

    Args:
        iterations: at most. Default: 20 with a network; without, 100, or 50 for solvers that use the prox of the
            fidelity.
        step: gamma, the size of the proximal steps, in squared image units. Default: from the noise and
            the operator, see the class.
        tolerance: an image has converged, and is frozen, when `|x_k - x_{k-1}| <= tolerance |x_k|`; 0 for never.

    The trace has for each iteration "residual", the root mean square of A x - y, and "change", the largest
    `|x_k - x_{k-1}| / |x_k|` in the batch.

    Raises:
        ConfigError: if an option is out of its range, or the iteration diverges.
        IncompatibleError: if the operator is 0 or its noise is unknown.

    >>> import rgmkit
    >>> y = torch.tensor([[[[0.0, 1.0, 0.0, 1.0]]]])
    >>> solution = rgmkit.restore(y, "gaussian-noise:noise=0.5", "tv:weight=9", solver=ADMM(iterations=30))
    >>> solution.x.round(decimals=1)  # nearly constant
    tensor([[[[0.5000, 0.5000, 0.5000, 0.5000]]]])
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prox"})
    differentiable: ClassVar[bool] = True
    iteration: ClassVar[str]  # the class in `deepinv.optim.optim_iterators`
    gradient_at_iterates: ClassVar[bool] = False  # whether an iteration takes the gradient at the previous iterate
    most: ClassVar[int] = 100

    def __init__(
        self, *, iterations: Iterations | None = None, step: float | None = None, tolerance: float = 1e-4
    ) -> None:
        if (iterations is not None and iterations < 1) or not tolerance >= 0:
            raise ConfigError(f"iterations is {iterations} and tolerance {tolerance}: give 1 or more, and 0 or more")
        if step is not None and not 0 < step < float("inf"):
            raise ConfigError(f"step is {step}: give a positive number")
        self.iterations, self.tolerance = iterations, float(tolerance)
        self.step = None if step is None else float(step)

    @abstractmethod
    def _default_step(self, problem: Problem, prior: PriorTerm) -> float:
        """Return the default step size."""

    def _schedule(self, step: float, iterations: int, network: bool) -> list[float]:
        """Return the step size of each iteration, given the default one."""
        return [step] * iterations

    def _start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the variables of deepinv's iteration at the initial estimate `x`."""
        return x, x

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        from rgmkit_deepinv.terms import Fidelity, PriorTerm

        y, degradation = cast(Tensor, problem.y), cast(Degradation, problem.degradation)
        fidelity, prior = Fidelity(degradation, y, noise_of(problem)), PriorTerm(problem, generator)
        steps = self._steps(problem, prior)
        x, trace = self._iterate(problem, fidelity, prior, steps, callback)
        nfe = _count_evaluations(problem.prior, steps[: len(trace)])
        return Solution(x, nfe=nfe, trace=trace, notes=prior.notes + self._notes(problem.prior, trace))

    def _steps(self, problem: Problem, prior: PriorTerm) -> list[float]:
        network = isinstance(problem.prior, RestoringPrior)
        iterations = self.iterations or (WITH_NETWORK if network else self.most)
        if self.step is not None:
            return [self.step] * iterations
        return self._schedule(self._default_step(problem, prior), iterations, network)

    def _iterate(
        self, problem: Problem, fidelity: Fidelity, prior: PriorTerm, steps: list[float], callback: Callback
    ) -> tuple[Tensor, list[dict[str, float]]]:
        from deepinv.optim import optim_iterators

        iterate = getattr(optim_iterators, self.iteration)(has_cost=False)
        x = cast(Degradation, problem.degradation).initial_estimate(cast(Tensor, problem.y))
        converged = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        state = {"est": self._start(x)}
        trace = _Trace(problem, fidelity if self.gradient_at_iterates else None)
        for k, step in enumerate(steps):
            options = {"stepsize": step, "lambda": 1.0, "beta": 1.0, "g_param": None, "a": 3}
            state = iterate(state, fidelity, prior, options, problem.y, None)
            before, x = x, freeze_converged(converged, x, state["est"][0])
            changes = change(before, x)
            trace.add(x, changes, converged)
            if not bool(changes.isfinite().all()):
                raise ConfigError(f"{type(self).__name__} diverged with step {step:g}: give a smaller one, or none")
            callback(k + 1, len(steps), x)
            converged = converged | ((changes <= self.tolerance) & (step == steps[-1]))
            if bool(converged.all()):
                break
        return x, trace.finish(x)

    def _notes(self, prior: Prior, trace: list[dict[str, float]]) -> tuple[str, ...]:
        """Tell the user if the default number of iterations was far too small."""
        last = trace[-1]["change"]
        if isinstance(prior, RestoringPrior) or self.iterations or not last > NOTEWORTHY * self.tolerance > 0:
            return ()
        return (
            f"not converged after {len(trace)} iterations: the last one changed the image by {last:.1e} of its norm; "
            f"give more iterations",
        )


def _count_evaluations(prior: Prior, steps: list[float]) -> int:
    """Return the network evaluations of these proximal steps."""
    if not isinstance(prior, RestoringPrior):
        return 0
    return sum(prior.evaluations(math.sqrt(step)) for step in steps)


class _Trace:
    """One row for each iteration; where the next gradient gives the residual of an iterate, it is taken from there.

    Args:
        problem: the problem that is solved.
        fidelity: the term whose gradient is taken at the iterates; None: each residual takes an application of A.
    """

    def __init__(self, problem: Problem, fidelity: Fidelity | None) -> None:
        self.problem, self.fidelity = problem, fidelity
        self.rows: list[dict[str, float]] = []
        self.residuals: Tensor | None = None  # of the previous iterate, for each image
        self.frozen: Tensor | None = None  # the images that the last iteration left as they were

    def add(self, x: Tensor, changes: Tensor, converged: Tensor) -> None:
        """Add the row of iterate `x`; images that had `converged` before it are frozen."""
        current = math.nan if self.fidelity else residual_entry(x, self.problem)["residual"]
        if self.fidelity and self.frozen is not None:
            residuals = rms(cast(Tensor, self.fidelity.error))
            self.residuals = residuals if self.residuals is None else residuals.where(~self.frozen, self.residuals)
            self.rows[-1]["residual"] = float(self.residuals.square().mean().sqrt())
        self.frozen = converged
        self.rows.append({"residual": current, "change": float(changes.max())})

    def finish(self, x: Tensor) -> list[dict[str, float]]:
        """Return the rows, the last with the residual of the result `x`."""
        self.rows[-1] |= residual_entry(x, self.problem)
        return self.rows


@final
class PGD(ProximalSolver):
    """Proximal gradient descent: `x <- prox_{step g}(x - step A^T (A x - y) / noise^2)`.

    Default step: `1.8 noise^2 / |A|^2`; it converges below 2. It is slow when the operator is ill-conditioned:
    `admm` needs a tenth of the iterations there.
    """

    iteration = "PGDIteration"
    gradient_at_iterates = True

    def _default_step(self, problem: Problem, prior: PriorTerm) -> float:
        return 1.8 * relative_noise(problem) ** 2 / problem.scale.excess


@final
class FISTA(ProximalSolver):
    """Proximal gradient descent with momentum (Beck and Teboulle 2009; Chambolle and Dossal 2015).

    Default step: `noise^2 / |A|^2`, the largest that is safe.
    """

    iteration = "FISTAIteration"

    def _default_step(self, problem: Problem, prior: PriorTerm) -> float:
        return 0.99 * relative_noise(problem) ** 2 / problem.scale.excess


class FidelityProxSolver(ProximalSolver):
    """A solver that uses the prox of the fidelity.

    Default step: `max(noise^2 min(1 / mean squared singular value, 1 / noise), least_threshold / weight)`, where
    `least_threshold` is that of the explicit prior, usually .02; with `tv` and `tgv` it rises to .1 as the operator
    loses more.
    """

    most = 50

    def _default_step(self, problem: Problem, prior: PriorTerm) -> float:
        noise = relative_noise(problem)
        step = noise**2 * min(problem.scale.largest_gain / problem.scale.mean_gain, 1 / noise)
        return max(step, prior.least_threshold / prior.weight) if prior.weight else step


class DouglasRachford(FidelityProxSolver):
    """A solver whose fixed point does not depend on the step, so that a denoiser may use the step that suits it."""

    def _default_step(self, problem: Problem, prior: PriorTerm) -> float:
        std = prior.std
        return std**2 if std else super()._default_step(problem, prior)


@final
class ADMM(DouglasRachford):
    """`u <- prox_{step f}(x - z)`, `x <- prox_{step g}(u + z)`, `z <- z + u - x` (Boyd et al. 2011).

    Default step: `noise^2 * min(1 / mean squared singular value, 1 / noise)`. The more information the
    operator loses, the longer the steps; `1 / noise` keeps a step of the prior from blurring everything. With an
    explicit prior the step is at least `.02 / weight`, which changes a pixel by up to .02: otherwise missing pixels
    would hardly change when there is no noise. With a denoiser the step is the `std^2` of `pnp-drs`, in which lost
    information is modelled as noise.
    """

    iteration = "ADMMIteration"

    def _start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.zeros_like(x)


@final
class DRS(DouglasRachford):
    """`u <- prox_{step f}(z)`, `x <- prox_{step g}(2u - z)`, `z <- z + x - u` (Lions and Mercier 1979).

    Default step: that of `admm`.
    """

    iteration = "DRSIteration"


@final
class HQS(FidelityProxSolver):
    """`u <- prox_{step f}(x)`, `x <- prox_{step g}(u)` with decreasing steps (Geman and Yang 1995).

    A fixed step minimises another objective, whose fidelity is smoothed over `sqrt(step)`. By default the
    step decreases geometrically and all iterations are run: from 3 times the step of `admm` with an explicit prior to a
    thirtieth of it, where the difference is small, or to that step itself with a network.
    """

    iteration = "HQSIteration"

    def _schedule(self, step: float, iterations: int, network: bool) -> list[float]:
        return np.geomspace(step if network else step / 30, 3 * step, iterations)[::-1].tolist()
