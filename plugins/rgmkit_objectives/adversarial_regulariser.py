"""The adversarial regulariser: a prior that tells images from naive reconstructions of their measurements."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from rgmkit.core.bounds import NonNegative, Positive
from rgmkit.core.degradation import Degradation
from rgmkit.core.objective import PriorObjective
from rgmkit.core.prior import Prior
from rgmkit.core.random import Randomness, randn


@final
class AdversarialRegulariser(PriorObjective):
    """Minimise `E h(x) - E h(v) + mu E (|grad h(u x + (1 - u) v)| - 1)_+^2`, with u uniform in [0, 1].

    x are images, and v naive reconstructions of the measurements `y = A x' + n` of other images:
    `argmin_v 1/2 |A v - y|^2 + 1/(2 gamma) |v - v_0|^2` from the initial estimate v_0, the pseudo-inverse where A loses
    little. h becomes the distance to the images that explains how v differs from them: noise, blur, artefacts. It is a
    prior for this operator and noise, and for others with similar effects on images.

    Args:
        degradation: A with its noise.
        mu: weight of the gradient penalty.
        gamma: of the naive reconstructions: singular values of A below its inverse root are damped.

    Source: Lunz, Öktem and Schönlieb, "Adversarial Regularizers in Inverse Problems", NeurIPS 2018.
    """

    prior = "regulariser"

    def __init__(self, *, degradation: Degradation, mu: NonNegative = 10.0, gamma: Positive = 1e4) -> None:
        self.degradation, self.mu, self.gamma = degradation, mu, gamma

    def prior_loss(self, prior: Prior, x: Tensor, *, generator: Randomness) -> Tensor:
        """Return the loss of the prior h; row i of the images is measured for row i + 1."""
        v = self._reconstruct(x.roll(1, 0), generator)
        e = randn((len(x), *[1] * (x.ndim - 1)), generator=generator, device=x.device, dtype=x.dtype)
        u = torch.special.ndtr(e)  # uniform
        mix = (u * x + (1 - u) * v).requires_grad_()
        slope = prior.grad(mix).float().flatten(1).norm(dim=1)
        penalty = (slope - 1).clamp(min=0).square().mean()
        return (prior.value(x) - prior.value(v)).mean() + self.mu * penalty

    @torch.no_grad()
    def _reconstruct(self, x: Tensor, generator: Randomness) -> Tensor:
        y = self.degradation(x, generator=generator)
        return self.degradation.prox(self.degradation.initial_estimate(y), y, self.gamma)
