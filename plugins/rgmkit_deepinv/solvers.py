"""Classical optimisers: deepinv's iterations on rgmkit's degradations and priors."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar, cast, final

import numpy as np
import torch
from deepinv.optim import optim_iterators
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import change, freeze_converged, residual, rms
from rgmkit_deepinv.terms import Believed, Fidelity, Measured

WITH_NETWORK = 20  # iterations
FAR = 20  # times the tolerance: a last step this long is worth a note
LEAST = 0.02  # of a grey value that a step of an explicit prior moves: what is missing moves no faster


class Splitting(Solver):
    """`min_x 1/2 |(A x - y) / noise|^2 + g(x)` by alternating between the two terms.

    Each step uses the prox of the prior, and the gradient or the prox (closed where the degradation has
    one) of the fidelity. Below a noise of 1e-3, a quarter of a grey value of 8 bits, the noise counts as
    1e-3. It starts at `embed(y)`, the first guess that the degradation gives; the pseudo-inverse would
    start in amplified noise. An explicit prior without a weight gets the one for this noise and operator.

    With a `RestoringPrior` this is plug and play: the network takes off noise of std `sqrt(step)`, see
    `RestoringPrior.denoise`, and draws from the solver's generator; no objective is minimised.

    Args:
        iterations: at the most. Default: 20 with a network, 100 (with the prox of the fidelity 50) without.
        step: gamma, the size of the proximal steps, in squared image units. Default: from the noise and
            the operator, see the class.
        tolerance: an image is done, and stays as it is, when `|x_k - x_{k-1}| <= tolerance |x_k|`; 0 for never.

    The trace has of each step "residual", the root mean square of A x - y, and "change", the largest
    `|x_k - x_{k-1}| / |x_k|` in the batch.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prox"})
    iteration: ClassVar[type[optim_iterators.OptimIterator]]
    at_iterates: ClassVar[bool] = False  # whether the gradient of a step is taken at the iterate before it

    most: ClassVar[int] = 100

    def __init__(self, *, iterations: int | None = None, step: float | None = None, tolerance: float = 1e-4) -> None:
        if (iterations is not None and iterations < 1) or tolerance < 0:
            raise ConfigError(f"iterations is {iterations} and tolerance {tolerance}: give 1 or more, and 0 or more")
        if step is not None and not 0 < step < float("inf"):
            raise ConfigError(f"step is {step}: give a positive number")
        self.iterations, self.tolerance = iterations, float(tolerance)
        self.step = None if step is None else float(step)

    @abstractmethod
    def _step(self, measured: Measured, believed: Believed) -> float:
        """The default step size."""

    def _steps(self, step: float, iterations: int, network: bool) -> list[float]:
        """The step size of each iteration, from the default one."""
        return [step] * iterations

    def _start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The variables of deepinv's iteration at the first guess `x`."""
        return x, x

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        y, degradation, prior = cast(Tensor, problem.y), cast(Degradation, problem.degradation), problem.prior
        measured = Measured(degradation, problem.shape, y)
        network = isinstance(prior, RestoringPrior)
        iterations = self.iterations or (WITH_NETWORK if network else self.most)
        fidelity, believed = Fidelity(degradation, measured.noise), Believed(problem, measured, generator)
        steps = [self.step] * iterations if self.step else []
        steps = steps or self._steps(self._step(measured, believed), iterations, network)
        iterate = self.iteration(has_cost=False)
        x = degradation.embed(y)
        done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        state: dict[str, Any] = {"est": self._start(x)}
        trace = _Trace(problem, fidelity if self.at_iterates else None)
        for k, step in enumerate(steps):
            options = {"stepsize": step, "lambda": 1.0, "beta": 1.0, "g_param": None, "a": 3}
            state = iterate(state, fidelity, believed, options, y, None)
            before, x = x, freeze_converged(done, x, state["est"][0])
            moved = change(before, x)
            trace.add(x, moved, done)
            if not bool(moved.isfinite().all()):
                raise ConfigError(f"{type(self).__name__} diverged with step {step:g}: give a smaller one, or none")
            callback(k + 1, iterations, x)
            done = done | ((moved <= self.tolerance) & (step == steps[-1]))
            if bool(done.all()):
                break
        rows = trace.finished(x)
        nfe = _evaluations(prior, steps[: len(rows)])
        far = not network and self.iterations is None and float(moved.max()) > FAR * self.tolerance > 0
        notes = (*believed.notes, *([_unfinished(len(rows), float(moved.max()))] if far else []))
        return Solution(x, nfe=nfe, trace=rows, notes=notes)


def _unfinished(steps: int, moved: float) -> str:
    return f"still on its way after {steps} iterations, the last changed the image by {moved:.1e} of itself: give more"


def _evaluations(prior: Prior, steps: list[float]) -> int:
    """Network evaluations of these proximal steps."""
    if not isinstance(prior, RestoringPrior):
        return 0
    return sum(prior.evaluations(math.sqrt(step)) for step in steps)


class _Trace:
    """A row of each step. An iteration whose gradient is taken at the last iterate tells the residual of that.

    Args:
        problem: that is solved.
        fidelity: whose gradient is taken at the iterates; None: each residual takes an application of A.
    """

    def __init__(self, problem: Problem, fidelity: Fidelity | None) -> None:
        self.problem, self.fidelity = problem, fidelity
        self.rows: list[dict[str, float]] = []
        self.sizes: Tensor | None = None  # residuals of the last iterate but one, of each image
        self.stopped: Tensor | None = None  # the images that the last iterate left as they were

    def add(self, x: Tensor, moved: Tensor, done: Tensor) -> None:
        """The row of iterate `x`; images that are `done` had stopped before it."""
        found = math.nan if self.fidelity else residual(x, self.problem)["residual"]
        if self.fidelity and self.stopped is not None:
            sizes = rms(cast(Tensor, self.fidelity.error))
            self.sizes = sizes if self.sizes is None else sizes.where(~self.stopped, self.sizes)
            self.rows[-1]["residual"] = float(self.sizes.square().mean().sqrt())
        self.stopped = done
        self.rows.append({"residual": found, "change": float(moved.max())})

    def finished(self, x: Tensor) -> list[dict[str, float]]:
        """The rows, with the residual of the answer `x`."""
        self.rows[-1] |= residual(x, self.problem)
        return self.rows


@final
class PGD(Splitting):
    """Proximal gradient descent: `x <- prox_{step g}(x - step A^T (A x - y) / noise^2)`.

    Default step: `1.8 noise^2 / |A|^2`; it converges below 2. Slow when the operator is ill-conditioned:
    `admm` needs a tenth of the iterations there.
    """

    iteration = optim_iterators.PGDIteration
    at_iterates = True

    def _step(self, measured: Measured, believed: Believed) -> float:
        return 1.8 * measured.noise**2 / measured.largest


@final
class FISTA(Splitting):
    """Proximal gradient descent with momentum (Beck and Teboulle 2009; Chambolle and Dossal 2015).

    Default step: `noise^2 / |A|^2`, the largest that is safe.
    """

    iteration = optim_iterators.FISTAIteration

    def _step(self, measured: Measured, believed: Believed) -> float:
        return 0.99 * measured.noise**2 / measured.largest


class _WithProx(Splitting):
    """Those that use the fidelity's prox; `max(noise^2 min(1 / mean, 1 / noise), LEAST / weight)` is their step."""

    most = 50

    def _step(self, measured: Measured, believed: Believed) -> float:
        step = measured.noise**2 * min(1 / measured.mean, 1 / measured.noise)
        return max(step, LEAST / believed.weight) if believed.weight else step


class _Splits(_WithProx):
    """Those that end where the terms agree, whatever the step: a denoiser may take off all that is lost in each."""

    def _step(self, measured: Measured, believed: Believed) -> float:
        std = believed.std
        return std**2 if std else super()._step(measured, believed)


@final
class ADMM(_Splits):
    """`u <- prox_{step f}(x - z)`, `x <- prox_{step g}(u + z)`, `z <- z + u - x` (Boyd et al. 2011).

    Default step: `noise^2 * min(1 / mean squared singular value, 1 / noise)`: the more the
    operator loses, the longer the steps, up to where one step of the prior would blur everything; with an explicit
    prior at least `.02 / weight`, which moves .02 of a grey value, or missing pixels would hardly move without noise.
    With a denoiser it is the `std^2` of `pnp-drs`: what the operator loses counts as noise, too.
    """

    iteration = optim_iterators.ADMMIteration

    def _start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.zeros_like(x)


@final
class DRS(_Splits):
    """`u <- prox_{step f}(z)`, `x <- prox_{step g}(2u - z)`, `z <- z + x - u` (Lions and Mercier 1979).

    Default step: that of `admm`.
    """

    iteration = optim_iterators.DRSIteration


@final
class HQS(_WithProx):
    """`u <- prox_{step f}(x)`, `x <- prox_{step g}(u)` with a step that gets smaller (Geman and Yang 1995).

    A fixed step minimises another objective, with the fidelity smoothed over `sqrt(step)`. By default the
    step falls geometrically from 3 times that of `admm` with an explicit prior to a thirtieth of it, where the
    difference is small, with a network to that itself, and all iterations are run.
    """

    iteration = optim_iterators.HQSIteration

    def _steps(self, step: float, iterations: int, network: bool) -> list[float]:
        return np.geomspace(step if network else step / 30, 3 * step, iterations)[::-1].tolist()
