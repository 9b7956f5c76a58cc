"""Normalisation of each pixel, modulation and activation, in as few passes over the features as possible."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from rgmkit_gan.networks.parts import promote_half

EPS = 1e-4


def normalise_pixels(h: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None) -> Tensor:
    """Return `silu(gamma n + beta)`, where `n = h / sqrt(mean_c h^2 + 1e-4)` normalises each pixel on its own.

    Features `h` are (B, C, H, W), gamma and beta (B, C), both or neither. Differentiable once.
    """
    out: Tensor = _Activated.apply(h, gamma, beta)
    return out


@final
class _Activated(Function):
    """With `r = n / h`, `u = gamma n + beta` and `g_u = silu'(u) g`, the derivative with respect to h is

    `r (gamma g_u - n mean_c(gamma g_u n))`; those for gamma and beta are the sums of `g_u n` and `g_u` over the pixels.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
        exact = promote_half(h.dtype)
        r = torch.linalg.vector_norm(h, dim=1, keepdim=True, dtype=exact).square_().div_(h.shape[1]).add_(EPS).rsqrt_()
        u = _scale(h, r)
        if gamma is not None and beta is not None:
            gamma, beta = (each.to(r)[:, :, None, None] for each in (gamma, beta))
            torch.addcmul(beta, u, gamma, out=u)
        ctx.save_for_backward(h, r, gamma, beta)
        return silu(u, inplace=True).to(h.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        h, r, gamma, beta = ctx.saved_tensors
        n = _scale(h, r)
        g_u = torch.ops.aten.silu_backward(g.to(r.dtype), n if gamma is None else torch.addcmul(beta, n, gamma))
        product, d_gamma, d_beta = g_u * n, None, None
        if gamma is not None:
            d_gamma, d_beta = product.sum((2, 3)), g_u.sum((2, 3))
            product, g_u = product.mul_(gamma), g_u.mul_(gamma)
        d_h = g_u.addcmul_(n, product.mean(1, keepdim=True), value=-1).mul_(r)
        return d_h.to(h.dtype), d_gamma, d_beta


def _scale(h: Tensor, r: Tensor) -> Tensor:
    """Return `h r` in new memory."""
    exact = h.to(r.dtype)
    return h * r if exact is h else exact.mul_(r)
