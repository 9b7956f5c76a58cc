"""The two terms of the objective, as deepinv's iterations take them."""

from __future__ import annotations

from deepinv import optim
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.iterated_prox import IteratedProx
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Problem
from rgmkit.solvers.measurement import fixed_point_std
from rgmkit_deepinv.explicit import ExplicitPrior
from rgmkit_deepinv.plug_and_play import PlugAndPlay

UNWEIGHTED = (
    "this prior of deepinv has no default weight, so 1 is used: "
    "give one, rgmkit_deepinv.objects.from_deepinv(prior, weight=…)"
)


class Fidelity(optim.DataFidelity):
    """`f(x) = 1/2 |(A x - y) / noise|^2`; deepinv's own class recomputes the adjoint of y in each gradient.

    `error` is the `A x - y` of the latest gradient, for the trace.
    """

    error: Tensor | None = None

    def __init__(self, degradation: Degradation, y: Tensor, noise: float) -> None:
        super().__init__()
        self.degradation, self.noise = degradation, noise
        self._prox = IteratedProx(degradation, y)

    def grad(self, x: Tensor, y: Tensor, physics: None) -> Tensor:
        """Return `A^T (A x - y) / noise^2`."""
        self.error = self.degradation.A(x) - y
        return self.degradation.adjoint(self.error) / self.noise**2

    def prox(self, x: Tensor, y: Tensor, physics: None, *, gamma: float) -> Tensor:
        """Return `argmin_u gamma f(u) + 1/2 |u - x|^2`."""
        return self._prox(x, gamma / self.noise**2)


class PriorTerm(optim.Prior):
    """The prior of a problem, as its prox; an explicit prior gets its default weight for noise and operator.

    `weight` is that of an explicit prior, None for other priors; `notes` tell the user if an explicit prior has none.
    """

    weight: float | None = None
    least_threshold: float = 0.0
    notes: tuple[str, ...] = ()

    def __init__(self, problem: Problem, generator: Randomness) -> None:
        super().__init__()
        self.problem, prior = problem, problem.prior
        if isinstance(prior, ExplicitPrior):
            prior = prior.with_default_weight(problem)
            self.weight, self._prox = prior.weight, prior.make_prox(problem.shape)
            least, lossy, lost = prior.least_threshold, prior.lossy_threshold, problem.scale.lost
            self.least_threshold = least if lossy is None else least + lost * (lossy - least)
            if prior.weight is None:
                self.notes = (UNWEIGHTED,)
        else:
            self._prox = lambda x, gamma: prior.prox(x, gamma, generator=generator)

    @property
    def std(self) -> float | None:
        """The noise std at which a denoiser is applied, see `fixed_point_std`; None for other priors."""
        with_std = isinstance(self.problem.prior, (RestoringPrior, PlugAndPlay))
        return fixed_point_std(self.problem) if with_std else None

    def prox(self, x: Tensor, sigma: None, *, gamma: float) -> Tensor:
        """Return the prox of `gamma g` at `x`."""
        return self._prox(x, gamma)
