"""The two terms of the objective, as deepinv's iterations take them."""

from __future__ import annotations

from deepinv import optim
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import conjugate_gradients
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Problem
from rgmkit.solvers.measurement import fixed_point_std
from rgmkit_deepinv.explicit import ExplicitPrior
from rgmkit_deepinv.plug_and_play import PlugAndPlay

PROX_RTOL, PROX_STEPS = 1e-4, 20  # of the conjugate gradients in one iteration
UNWEIGHTED = (
    "this prior of deepinv has no default weight, so 1 is used: "
    "give one, rgmkit_deepinv.objects.from_deepinv(prior, weight=…)"
)


class Fidelity(optim.DataFidelity):
    """`f(x) = 1/2 |(A x - y) / noise|^2`; deepinv's own class recomputes the adjoint of y in each gradient.

    `error` is the `A x - y` of the latest gradient, for the trace. Where the prox has no closed form, it is computed by
    a few conjugate-gradient steps from its previous result, as successive iterates are close to each other.
    """

    error: Tensor | None = None

    def __init__(self, degradation: Degradation, y: Tensor, noise: float) -> None:
        super().__init__()
        self.degradation, self.noise = degradation, noise
        self.closed_form = degradation.has_closed_form_prox
        self.adjoint_y = None if self.closed_form else degradation.adjoint(y)
        self.last: Tensor | None = None

    def grad(self, x: Tensor, y: Tensor, physics: None) -> Tensor:
        """Return `A^T (A x - y) / noise^2`."""
        self.error = self.degradation.A(x) - y
        return self.degradation.adjoint(self.error) / self.noise**2

    def prox(self, x: Tensor, y: Tensor, physics: None, *, gamma: float) -> Tensor:
        """Return `argmin_u gamma f(u) + 1/2 |u - x|^2`."""
        weight = gamma / self.noise**2
        if self.adjoint_y is None:
            return self.degradation.prox(x, y, weight)
        self.last = conjugate_gradients(
            lambda u: u + weight * self.degradation.adjoint(self.degradation.A(u)),
            x + weight * self.adjoint_y,
            x0=x if self.last is None else self.last,
            rtol=PROX_RTOL,
            max_steps=PROX_STEPS,
        ).x
        return self.last


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
            self.least_threshold = prior.least_threshold
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
