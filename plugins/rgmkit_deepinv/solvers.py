"""Classical optimisers: deepinv's iterations on rgmkit's degradations and priors."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, cast, final

import numpy as np
import torch
from deepinv import optim
from deepinv.optim import optim_iterators
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import operator_norm
from rgmkit.core.random import Randomness, randn, seeded
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.solvers.measured import noise_of, residual
from rgmkit_deepinv.priors import ExplicitPrior


@dataclass(frozen=True, eq=False)
class Measured:
    """What the default steps and weights are made from, the same for every batch and seed.

    Attributes:
        degradation, shape, y: of the problem.
    """

    degradation: Degradation
    shape: tuple[int, ...]
    y: Tensor

    @property
    def noise(self) -> float:
        """The noise std, 1e-3 at the least."""
        return noise_of(self.degradation)

    @cached_property
    def mean(self) -> float:
        """`|A|_F^2 / n`, the mean squared singular value over the n pixels, from one white image."""
        e = randn((1, *self.shape[1:]), generator=seeded(0), device=self.y.device, dtype=self.y.dtype)
        return self._positive(float(self.degradation.A(e).square().sum() / e.square().sum()))

    @cached_property
    def largest(self) -> float:
        """`|A|^2`, the largest squared singular value, by power iteration."""
        degradation, y = self.degradation, self.y

        def normal(x: Tensor) -> Tensor:
            return degradation.adjoint(degradation.A(x))

        return self._positive(operator_norm(normal, self.shape, generator=seeded(1), dtype=y.dtype, device=y.device))

    def _positive(self, value: float) -> float:
        if not 0 < value < float("inf"):
            raise IncompatibleError(f"{type(self.degradation).__name__} has the norm {value}: it measures nothing")
        return value


class Splitting(Solver):
    """`min_x 1/2 |(A x - y) / noise|^2 + g(x)` by alternating between the two terms.

    Each step uses the prox of the prior, and the gradient or the prox (closed where the degradation has
    one) of the fidelity. Below a noise of 1e-3, a quarter of a grey value of 8 bits, the noise counts as
    1e-3. It starts at `embed(y)`, the first guess that the degradation gives; the pseudo-inverse would
    start in amplified noise. An explicit prior without a weight gets the one for this noise and operator.

    With a `RestoringPrior` this is plug and play: the network takes off noise of std `sqrt(step)`, drawing
    from the solver's generator, and no objective is minimised.

    Args:
        iterations: at the most.
        step: gamma, the size of the proximal steps, in squared image units. Default: from the noise and
            the operator, see the class.
        tolerance: stop when `|x_k - x_{k-1}| <= tolerance |x_k|` for every image of the batch; 0 for never.

    The trace has of each step "residual", the root mean square of A x - y, and "change", the largest
    `|x_k - x_{k-1}| / |x_k|` in the batch.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prox"})
    iteration: ClassVar[type[optim_iterators.OptimIterator]]

    def __init__(self, *, iterations: int = 100, step: float | None = None, tolerance: float = 1e-4) -> None:
        if iterations < 1 or tolerance < 0:
            raise ConfigError(f"iterations is {iterations} and tolerance {tolerance}: give 1 or more, and 0 or more")
        if step is not None and not 0 < step < float("inf"):
            raise ConfigError(f"step is {step}: give a positive number")
        self.iterations, self.tolerance = iterations, float(tolerance)
        self.step = None if step is None else float(step)

    @abstractmethod
    def _step(self, measured: Measured) -> float:
        """The default step size."""

    def _steps(self, measured: Measured) -> list[float]:
        """The step size of each iteration, when none is given."""
        return [self._step(measured)] * self.iterations

    def _start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The variables of deepinv's iteration at the first guess `x`."""
        return x, x

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        y, degradation = cast(Tensor, problem.y), cast(Degradation, problem.degradation)
        measured = Measured(degradation, problem.shape, y)
        steps = [self.step] * self.iterations if self.step else self._steps(measured)
        fidelity, prior = _Fidelity(degradation, measured.noise), _Prior(problem, measured, generator)
        iterate = self.iteration(has_cost=False)
        x = degradation.embed(y)
        state: dict[str, Any] = {"est": self._start(x)}
        trace: list[dict[str, float]] = []
        for k, step in enumerate(steps):
            options = {"stepsize": step, "lambda": 1.0, "beta": 1.0, "g_param": None, "a": 3}
            state = iterate(state, fidelity, prior, options, y, None)
            before, x = x, state["est"][0]
            trace.append(residual(x, problem) | {"change": _change(before, x)})
            if not math.isfinite(trace[-1]["change"]):
                raise ConfigError(f"{type(self).__name__} diverged with step {step:g}: give a smaller one, or none")
            callback(k + 1, self.iterations, x)
            if trace[-1]["change"] <= self.tolerance and step == steps[-1]:
                break
        network = "restore" in problem.prior.provides
        return Solution(x, nfe=len(trace) if network else 0, trace=trace)


@final
class PGD(Splitting):
    """Proximal gradient descent: `x <- prox_{step g}(x - step A^T (A x - y) / noise^2)`.

    Default step: `1.8 noise^2 / |A|^2`; it converges below 2. Slow when the operator is ill-conditioned:
    `admm` needs a tenth of the iterations there.
    """

    iteration = optim_iterators.PGDIteration

    def _step(self, measured: Measured) -> float:
        return 1.8 * measured.noise**2 / measured.largest


@final
class FISTA(Splitting):
    """Proximal gradient descent with momentum (Beck and Teboulle 2009; Chambolle and Dossal 2015).

    Default step: `noise^2 / |A|^2`, the largest that is safe.
    """

    iteration = optim_iterators.FISTAIteration

    def _step(self, measured: Measured) -> float:
        return 0.99 * measured.noise**2 / measured.largest


class _WithProx(Splitting):
    """Those that use the fidelity's prox; `noise^2 * min(1 / mean, 1 / noise)` is their step."""

    def __init__(self, *, iterations: int = 50, step: float | None = None, tolerance: float = 1e-4) -> None:
        super().__init__(iterations=iterations, step=step, tolerance=tolerance)

    def _step(self, measured: Measured) -> float:
        return measured.noise**2 * min(1 / measured.mean, 1 / measured.noise)


@final
class ADMM(_WithProx):
    """`u <- prox_{step f}(x - z)`, `x <- prox_{step g}(u + z)`, `z <- z + u - x` (Boyd et al. 2011).

    Default step: `noise^2 * min(1 / mean squared singular value, 1 / noise)`: the more the
    operator loses, the longer the steps, up to where one step of the prior would blur everything.
    """

    iteration = optim_iterators.ADMMIteration

    def _start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.zeros_like(x)


@final
class DRS(_WithProx):
    """`u <- prox_{step f}(z)`, `x <- prox_{step g}(2u - z)`, `z <- z + x - u` (Lions and Mercier 1979).

    Default step: that of `admm`.
    """

    iteration = optim_iterators.DRSIteration


@final
class HQS(_WithProx):
    """`u <- prox_{step f}(x)`, `x <- prox_{step g}(u)` with a step that gets smaller (Geman and Yang 1995).

    A fixed step minimises another objective, with the fidelity smoothed over `sqrt(step)`. By default the
    step falls geometrically from 3 times that of `admm` to a thirtieth of it, where the difference is
    small, and all iterations are run.
    """

    iteration = optim_iterators.HQSIteration

    def _steps(self, measured: Measured) -> list[float]:
        step = self._step(measured)
        return np.geomspace(step / 30, 3 * step, self.iterations)[::-1].tolist()


class _Fidelity(optim.DataFidelity):
    """`f(x) = 1/2 |(A x - y) / noise|^2`; deepinv's own would take the adjoint of y anew in each gradient."""

    def __init__(self, degradation: Degradation, noise: float) -> None:
        super().__init__()
        self.degradation, self.noise = degradation, noise

    def grad(self, x: Tensor, y: Tensor, physics: None) -> Tensor:
        return self.degradation.adjoint(self.degradation.A(x) - y) / self.noise**2

    def prox(self, x: Tensor, y: Tensor, physics: None, *, gamma: float) -> Tensor:
        return self.degradation.prox(x, y, gamma / self.noise**2)


class _Prior(optim.Prior):
    """The prior of a problem as deepinv's iterations call it."""

    def __init__(self, problem: Problem, measured: Measured, generator: Randomness) -> None:
        super().__init__()
        prior = problem.prior
        if isinstance(prior, ExplicitPrior):
            self._prox = prior.weighted(measured.noise, measured.mean).run_prox(problem.shape)
        else:
            self._prox = lambda x, gamma: prior.prox(x, gamma, generator=generator)

    def prox(self, x: Tensor, sigma: None, *, gamma: float) -> Tensor:
        return self._prox(x, gamma)


def _change(before: Tensor, after: Tensor) -> float:
    step, size = (after - before).flatten(1).norm(dim=1), after.flatten(1).norm(dim=1)
    return float((step / size.clamp(min=torch.finfo(size.dtype).tiny)).max())
