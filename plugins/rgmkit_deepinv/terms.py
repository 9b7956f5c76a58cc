"""The two terms of the objective, as deepinv's iterations take them."""

from __future__ import annotations

from deepinv import optim
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Problem
from rgmkit.solvers.measurement import initial_std, lost_std
from rgmkit_deepinv.explicit import ExplicitPrior
from rgmkit_deepinv.plug_and_play import PlugAndPlay
from rgmkit_deepinv.scale import ProblemScale

UNWEIGHTED = (
    "no weight is known that suits this prior of deepinv, it counts with 1: "
    "give one, rgmkit_deepinv.objects.from_deepinv(prior, weight=…)"
)


class Fidelity(optim.DataFidelity):
    """`f(x) = 1/2 |(A x - y) / noise|^2`; deepinv's own would compute the adjoint of y again in each gradient.

    `error` is the `A x - y` of the latest gradient, for the trace.
    """

    error: Tensor | None = None

    def __init__(self, degradation: Degradation, noise: float) -> None:
        super().__init__()
        self.degradation, self.noise = degradation, noise

    def grad(self, x: Tensor, y: Tensor, physics: None) -> Tensor:
        """Return `A^T (A x - y) / noise^2`."""
        self.error = self.degradation.A(x) - y
        return self.degradation.adjoint(self.error) / self.noise**2

    def prox(self, x: Tensor, y: Tensor, physics: None, *, gamma: float) -> Tensor:
        """Return `argmin_u gamma f(u) + 1/2 |u - x|^2`."""
        return self.degradation.prox(x, y, gamma / self.noise**2)


class PriorTerm(optim.Prior):
    """The prior of a problem by its prox; an explicit prior gets the weight for the scale of the problem.

    `weight` is that weight, None for other priors; `notes` tell the user of an explicit prior without one.
    """

    weight: float | None = None
    notes: tuple[str, ...] = ()

    def __init__(self, problem: Problem, scale: ProblemScale, generator: Randomness) -> None:
        super().__init__()
        self.problem, prior = problem, problem.prior
        if isinstance(prior, ExplicitPrior):
            prior = prior.with_default_weight(scale.noise, scale.mean_gain)
            self.weight, self._prox = prior.weight, prior.make_prox(problem.shape)
            if prior.weight is None:
                self.notes = (UNWEIGHTED,)
        else:
            self._prox = lambda x, gamma: prior.prox(x, gamma, generator=generator)

    @property
    def std(self) -> float | None:
        """The noise std for a denoiser, with lost information modelled as noise; None for other priors."""
        prior = self.problem.prior
        return initial_std(self.problem, lost_std(prior)) if isinstance(prior, (RestoringPrior, PlugAndPlay)) else None

    def prox(self, x: Tensor, sigma: None, *, gamma: float) -> Tensor:
        """Return the prox of `gamma g` at `x`."""
        return self._prox(x, gamma)
