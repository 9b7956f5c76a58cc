"""The prior that is a trained network itself: `g(x)`, a number, with its gradient."""

from __future__ import annotations

import copy
import math
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import Self

from rgmkit.core.bounds import NonNegative
from rgmkit.core.prior import Prior
from rgmkit.core.solver import Problem
from rgmkit.solvers.measurement import noise_of


@final
class Regulariser(Prior):
    """`g(x) = weight h(x)`, `h(x) = -scale D((x - center) / scale, 0)`, with D a trained critic.

    h is smaller for images that look real, and its gradient is about 1 at most. At the true image the gradient of the
    fidelity is `A^T Sigma^-1 (A x - y)`, and the default weight is its root mean square,

        weight = |A|_F / noise,

    for images of the size of the training images; |A|_F^2 is proportional to the number of pixels. Train one with the
    objective `adversarial-regulariser`.

    Args:
        network: D, called as `D(x, level)`: one number for each image.
        image_shape: of the training images.
        center, scale: of the range of the network in the units of the user.
        weight: factor of h. Default: from noise and operator, in the solver; 1 for `value` and `grad`.

    Source: Lunz, Öktem and Schönlieb, "Adversarial Regularizers in Inverse Problems", NeurIPS 2018.
    """

    provides = frozenset({"value", "grad"})

    def __init__(
        self,
        *,
        network: nn.Module,
        image_shape: tuple[int, ...],
        center: float = 0.5,
        scale: float = 0.5,
        weight: NonNegative | None = None,
    ) -> None:
        super().__init__()
        self.network, self.image_shape = network, tuple(image_shape)
        self.center, self.scale, self.weight = center, scale, weight

    def value(self, x: Tensor) -> Tensor:
        """Return `g(x)` of each image, (B,)."""
        level = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        factor = self.scale * (1.0 if self.weight is None else self.weight)
        return -factor * self.network((x - self.center) / self.scale, level)

    def grad(self, x: Tensor) -> Tensor:
        """Return the gradient of `g` at `x`."""
        graph = torch.is_grad_enabled() and x.requires_grad
        with torch.enable_grad():
            x = x if graph else x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.value(x).sum(), x, create_graph=graph)
        return slope

    def with_default_weight(self, problem: Problem) -> Self:
        """Return this prior with the weight that was given, else with the default for noise and operator."""
        if self.weight is not None:
            return self
        prior = copy.copy(self)
        prior.weight = math.sqrt(math.prod(self.image_shape) * problem.scale.mean_gain) / noise_of(problem)
        return prior
