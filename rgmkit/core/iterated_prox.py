"""The prox of the fidelity in an iterative solver, whose successive inputs are close to each other."""

from __future__ import annotations

from typing import final

from torch import Tensor

from rgmkit.core.accuracy import report_shortfall
from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import conjugate_gradients, per_image

RTOL, MAX_STEPS = 1e-4, 20  # of the conjugate gradients in one iteration
NOTEWORTHY = 1e-2  # a larger relative residual in the last iteration is reported


@final
class IteratedProx:
    """`argmin_x weight/2 |A x - y|^2 + 1/2 |x - z|^2` for a sequence of z.

    Where the degradation has no closed form, the prox is computed by at most 20 steps of conjugate gradients from the
    previous result. The iterates of the solver approach each other, so the error decreases with them.

    >>> import torch
    >>> class Twice(Degradation):
    ...     def A(self, x):
    ...         return 2 * x
    >>> prox = IteratedProx(Twice(), y=torch.ones(1, 1, 1, 1))
    >>> prox(torch.zeros(1, 1, 1, 1), weight=1.0)  # 2 / (1 + 4)
    tensor([[[[0.4000]]]])
    """

    def __init__(self, degradation: Degradation, y: Tensor) -> None:
        self.degradation, self.y = degradation, y
        self.adjoint_y = None if degradation.has_closed_form_prox else degradation.adjoint(y)
        self.last: Tensor | None = None
        self.residual = 0.0  # relative, the largest in the batch, of the latest result

    def __call__(self, z: Tensor, weight: float | Tensor) -> Tensor:
        """Return the prox at `z`; `weight` is a number or a tensor (B,)."""
        if self.adjoint_y is None:
            return self.degradation.prox(z, self.y, weight)
        w = per_image(weight, z)
        self.last, residual, _ = conjugate_gradients(
            lambda x: x + w * self.degradation.adjoint(self.degradation.A(x)),
            z + w * self.adjoint_y,
            x0=z if self.last is None else self.last,
            rtol=RTOL,
            max_steps=MAX_STEPS,
        )
        self.residual = float(residual.max())
        return self.last

    def report(self) -> None:
        """Report an inaccurate last result, for the user to be warned of it."""
        if not self.residual <= NOTEWORTHY:
            report_shortfall(f"{self.degradation.title}.prox", self.residual, NOTEWORTHY)
