"""deepinv's iterations for total variations, differentiable, with one norm for all channels."""

from __future__ import annotations

import torch
from deepinv.models import TGVDenoiser, TVDenoiser, TVL1Denoiser
from torch import Tensor
from torch.utils.checkpoint import checkpoint


class WarmTVDenoiser(TVDenoiser):
    """The prox of total variation, each from the result of the one before; deepinv's detaches that result.

    For a gradient the inner iterates are computed again, in place of being kept.
    """

    state: tuple[Tensor, Tensor] | None = None

    def forward(self, y: Tensor, ths: Tensor) -> Tensor:
        """Return the prox of `ths` times the total variation at `y`."""
        x2, u2 = self.state or (y, y.new_zeros(*y.shape, y.ndim - 2))
        radius = ths.reshape(-1, *[1] * y.ndim)
        if torch.is_grad_enabled():
            x2, u2 = checkpoint(self._iterate, y, x2, u2, radius, use_reentrant=False, preserve_rng_state=False)
        else:
            x2, u2 = self._iterate(y, x2, u2, radius)
        self.state = x2, u2
        return x2

    def _iterate(self, y: Tensor, x2: Tensor, u2: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        sigma = 1 / self.tau / 2 ** (y.ndim - 1)
        for _ in range(self.n_it_max):
            x = self.prox_tau_fx(x2 - self.tau * self.nabla_adjoint(u2), y)
            u = self.prox_sigma_g_conj(u2 + sigma * self.nabla(2 * x - x2), radius)
            x2, u2 = x2 + self.rho * (x - x2), u2 + self.rho * (u - u2)
        return x2, u2


class WarmTVL1Denoiser(WarmTVDenoiser, TVL1Denoiser):
    """The prox of anisotropic total variation, each from the result of the one before."""


class CoupledTVDenoiser(WarmTVDenoiser):
    """The prox of total variation, where the gradients of all channels of a pixel have one norm."""

    def prox_sigma_g_conj(self, u: Tensor, lambda2: Tensor) -> Tensor:
        """Project the dual variable on balls of radius `lambda2`."""
        return u * shrinkage(u, lambda2)


class CoupledTGVDenoiser(TGVDenoiser):
    """The prox of total generalised variation, where all channels of a pixel have one norm."""

    def prox_tau_fr(self, r: Tensor, lambda1: Tensor) -> Tensor:
        """Shrink the field r by `tau lambda1`."""
        return r - r * shrinkage(r, self.tau * lambda1[..., None])

    def prox_sigma_g_conj(self, u: Tensor, lambda2: Tensor) -> Tensor:
        """Project the dual variable on balls of radius `lambda2`."""
        return u * shrinkage(u, lambda2[..., None])


def shrinkage(u: Tensor, radius: Tensor) -> Tensor:
    """Return `min(1, radius / |u|)`, with |u| the norm of a field (B, C, H, W, k) over channels and components."""
    squares = u.square().sum(1, keepdim=True).sum(-1, keepdim=True)  # in this order it is several times faster
    return (radius / squares.clamp(min=torch.finfo(u.dtype).tiny).sqrt()).clamp(max=1)  # with a finite gradient at 0
