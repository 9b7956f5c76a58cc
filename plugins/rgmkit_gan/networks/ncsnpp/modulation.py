"""Group normalisation, modulation and activation, in as few passes over the features as possible."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import group_norm, silu

from rgmkit_gan.networks.parts import promote_half

EPS = 1e-6  # of group normalisation


def normalise_groups(h: Tensor, groups: int, gamma: Tensor, beta: Tensor) -> Tensor:
    """Return `gamma * norm(h) + beta`, gamma and beta (C,), computed at least in float32.

    PyTorch is several times slower in half precision with channels last on small maps.
    """
    exact = promote_half(h.dtype)
    return group_norm(h.to(exact), groups, gamma.to(exact), beta.to(exact), EPS).to(h.dtype)


def modulate(h: Tensor, groups: int, gamma: Tensor, beta: Tensor) -> Tensor:
    """Return `silu(gamma * norm(h) + beta)` of features (B, C, H, W), gamma and beta (B, C). Differentiable once."""
    out: Tensor = _Modulated.apply(h, groups, gamma, beta)
    return out


@final
class _Modulated(Function):
    """With `u = s h + o`, `s = gamma / std`, `o = beta - mean s` for each image and channel, and `g` of `silu(u)`:

    the derivative with respect to h is `s g_u + k h + c`, where `g_u = silu'(u) g` and, with sums over the n values of
    a group and `d_gamma = sum_hw g_u norm(h)`,

        k = -sum(gamma d_gamma) / (n std^2),  c = -sum(gamma sum_hw g_u) / (n std) - k mean.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, groups: int, gamma: Tensor, beta: Tensor) -> Tensor:
        images, channels, height, width = h.shape
        exact = h.to(promote_half(h.dtype))
        _, mean, inverse = torch.native_group_norm(exact, None, None, images, channels, height * width, groups, EPS)
        mean, inverse = (each.repeat_interleave(channels // groups, 1) for each in (mean, inverse))
        gamma = gamma.to(mean)
        scale = gamma * inverse
        s, o = scale[:, :, None, None], (beta.to(mean) - mean * scale)[:, :, None, None]
        ctx.groups = groups
        ctx.save_for_backward(h, s.to(h.dtype), o.to(h.dtype), gamma, mean, inverse)
        u = torch.empty_like(h) if exact is h else exact  # new memory is slow at first access
        return silu(torch.addcmul(o, exact, s, out=u), inplace=True).to(h.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        h, s, o, gamma, mean, inverse = ctx.saved_tensors

        def over_group(values: Tensor) -> Tensor:
            summed = values.unflatten(1, (ctx.groups, -1)).sum(2)
            return summed.repeat_interleave(values.shape[1] // ctx.groups, 1)

        g_u = torch.ops.aten.silu_backward(g, torch.addcmul(o, h, s))
        d_beta = g_u.sum((2, 3), dtype=mean.dtype)
        d_gamma = inverse * ((g_u * h).sum((2, 3), dtype=mean.dtype) - mean * d_beta)
        n = h[0].numel() // ctx.groups
        k = -over_group(gamma * d_gamma) * inverse.square() / n
        c = -over_group(gamma * d_beta) * inverse / n - k * mean
        k, c = (each.to(h.dtype)[:, :, None, None] for each in (k, c))
        return torch.addcmul(c, h, k).addcmul_(g_u, s), None, d_gamma, d_beta
