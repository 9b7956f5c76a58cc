"""deepinv's iterations for total variations, with one norm for all channels."""

from __future__ import annotations

import torch
from deepinv.models import TGVDenoiser, TVDenoiser
from torch import Tensor


class CoupledTVDenoiser(TVDenoiser):
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
    norm = u.square().sum(1, keepdim=True).sum(-1, keepdim=True).sqrt()  # in this order it is several times faster
    return (radius / norm.clamp(min=torch.finfo(u.dtype).tiny)).clamp(max=1)
