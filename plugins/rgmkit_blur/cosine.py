"""The cosine transform of images, which diagonalises convolution with a symmetric kernel at a reflecting border."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rgmkit.core.fourier import widen


def dct2(x: Tensor) -> Tensor:
    """Return the DCT-II of the last two axes, not normalised: `X_k = sum_n x_n cos(pi k (2 n + 1) / (2 N))`.

    >>> dct2(torch.ones(1, 1, 2, 3)).round(decimals=4) + 0.0
    tensor([[[[6., 0., 0.],
              [0., 0., 0.]]]])
    """
    return _dct(_dct(widen(x)).mT).mT


def idct2(X: Tensor) -> Tensor:
    """Return the inverse of `dct2`."""
    return _idct(_idct(X).mT).mT


def _dct(x: Tensor) -> Tensor:
    """Transform the last axis by a Fourier transform of the same length.

    Source: Makhoul, "A fast cosine transform in one and two dimensions", 1980.
    """
    n = x.shape[-1]
    V = torch.fft.rfft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)) * _turn(n, x, -1)
    return torch.cat([V.real, -V.imag[..., 1 : (n + 1) // 2].flip(-1)], -1)


def _idct(X: Tensor) -> Tensor:
    n = X.shape[-1]
    half = n // 2 + 1
    mirrored = torch.cat([torch.zeros_like(X[..., :1]), X[..., 1:].flip(-1)[..., : half - 1]], -1)
    v = torch.fft.irfft(torch.complex(X[..., :half].contiguous(), -mirrored) * _turn(n, X, 1), n)
    x = torch.empty_like(v)
    x[..., ::2], x[..., 1::2] = v[..., : (n + 1) // 2], v[..., (n + 1) // 2 :].flip(-1)
    return x


def _turn(n: int, like: Tensor, sign: int) -> Tensor:
    """Return `exp(sign i pi k / (2 n))` for k = 0 … n // 2."""
    angle = sign * math.pi / (2 * n) * torch.arange(n // 2 + 1, dtype=like.dtype, device=like.device)
    return torch.polar(torch.ones_like(angle), angle)
