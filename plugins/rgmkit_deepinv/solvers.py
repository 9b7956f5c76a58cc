"""Classical optimisers: deepinv's iterations on rgmkit's degradations and priors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, cast, final

import numpy as np
import torch
from deepinv import optim
from deepinv.optim import optim_iterators
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import operator_norm
from rgmkit.core.random import Randomness, randn, seeded
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measured import noise_of, residual
from rgmkit_deepinv.priors import ExplicitPrior


class Measured(NamedTuple):
    """What the default steps are made from: the noise std, and `|A|^2` as its largest and mean singular value squared.

    Attributes:
        noise: standard deviation, 1e-3 at the least.
        largest: `|A|^2`, the largest squared singular value.
        mean: `|A|_F^2 / n` with n the pixels of an image.
    """

    noise: float
    largest: float
    mean: float


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
        self.iterations, self.step, self.tolerance = iterations, step, float(tolerance)

    @abstractmethod
    def _steps(self, measured: Measured) -> float | Sequence[float]:
        """The default step size, or one for each iteration."""

    def _start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The variables of deepinv's iteration at the first guess `x`."""
        return x, x

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        y, degradation = cast(Tensor, problem.y), cast(Degradation, problem.degradation)
        measured = measure(degradation, problem.shape, y)
        steps = self.step or self._steps(measured)
        steps = [steps] * self.iterations if isinstance(steps, float) else steps
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

    def _steps(self, measured: Measured) -> float:
        return 1.8 * measured.noise**2 / measured.largest


@final
class FISTA(Splitting):
    """Proximal gradient descent with momentum (Beck and Teboulle 2009; Chambolle and Dossal 2015).

    Default step: `noise^2 / |A|^2`, the largest that is safe.
    """

    iteration = optim_iterators.FISTAIteration

    def _steps(self, measured: Measured) -> float:
        return 0.99 * measured.noise**2 / measured.largest


@final
class ADMM(Splitting):
    """`u <- prox_{step f}(x - z)`, `x <- prox_{step g}(u + z)`, `z <- z + u - x` (Boyd et al. 2011).

    Default step: `noise^2 * min(1 / mean squared singular value, 1 / noise)`: the stronger the operator
    loses, the longer the steps, up to where a step of the prior would blur everything.
    """

    iteration = optim_iterators.ADMMIteration

    def __init__(self, *, iterations: int = 50, step: float | None = None, tolerance: float = 1e-4) -> None:
        super().__init__(iterations=iterations, step=step, tolerance=tolerance)

    def _steps(self, measured: Measured) -> float:
        return _balanced(measured)

    def _start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.zeros_like(x)


@final
class DRS(Splitting):
    """`u <- prox_{step f}(z)`, `x <- prox_{step g}(2u - z)`, `z <- z + x - u` (Lions and Mercier 1979).

    Default step: that of `admm`.
    """

    iteration = optim_iterators.DRSIteration

    def __init__(self, *, iterations: int = 50, step: float | None = None, tolerance: float = 1e-4) -> None:
        super().__init__(iterations=iterations, step=step, tolerance=tolerance)

    def _steps(self, measured: Measured) -> float:
        return _balanced(measured)


@final
class HQS(Splitting):
    """`u <- prox_{step f}(x)`, `x <- prox_{step g}(u)` with a step that gets smaller (Geman and Yang 1995).

    A fixed step minimises another objective, with the fidelity smoothed over `sqrt(step)`. By default the
    step falls geometrically from 3 times that of `admm` to a thirtieth of it, where the difference is
    small, and all iterations are run.
    """

    iteration = optim_iterators.HQSIteration

    def __init__(self, *, iterations: int = 50, step: float | None = None, tolerance: float = 1e-4) -> None:
        super().__init__(iterations=iterations, step=step, tolerance=tolerance)

    def _steps(self, measured: Measured) -> list[float]:
        step = _balanced(measured)
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


def measure(degradation: Degradation, shape: tuple[int, ...], y: Tensor) -> Measured:
    """Both squared singular values from fixed random images: the same for every batch and seed."""
    e = randn((1, *shape[1:]), generator=seeded(0), device=y.device, dtype=y.dtype)
    mean = float(degradation.A(e).square().sum() / e.square().sum())
    largest = operator_norm(
        lambda x: degradation.adjoint(degradation.A(x)), shape, generator=seeded(1), device=y.device, dtype=y.dtype
    )
    if not 0 < largest < float("inf"):
        raise ConfigError(f"{type(degradation).__name__} has the norm {largest}: nothing can be restored from it")
    return Measured(noise_of(degradation), largest, mean)


def _balanced(measured: Measured) -> float:
    return measured.noise**2 * min(1 / measured.mean, 1 / measured.noise)


def _change(before: Tensor, after: Tensor) -> float:
    step, size = (after - before).flatten(1).norm(dim=1), after.flatten(1).norm(dim=1)
    return float((step / size.clamp(min=torch.finfo(size.dtype).tiny)).max())
