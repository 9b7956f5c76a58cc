"""Tikhonov regularisation of the gradient."""

from __future__ import annotations

from math import pi
from typing import final

import torch
from torch import Tensor

from rgmkit.core.fourier import widen
from rgmkit.core.linear import per_image
from rgmkit.deprecation import warn_renamed
from rgmkit_deepinv.explicit import ExplicitPrior, Prox, require_images


@final
class Tikhonov(ExplicitPrior):
    """`h(x) = 1/2 |D x|^2`: half the sum of the squared differences of neighbours, across and down.

    Smooth images are likely; the mean of each channel has no influence. The border has no differences, so that the
    prox is diagonal in the cosine transform. It is the prior of fields without edges; `tv` keeps edges. The default
    weight is .1 dB below the best one on photographs on average, .5 dB at most; 3 dB at most on digits.

    Args:
        weight: factor of `h`, 0 or more. Default: from the noise, see `ExplicitPrior`.
        center: deprecated and without effect; it is an option of `deepinv.Tikhonov`.

    >>> import torch
    >>> x = torch.tensor([[[[0.0, 0.0, 1.0]]]])
    >>> Tikhonov(weight=1).value(x), Tikhonov(weight=1).prox(x, 1.0)
    (tensor([0.5000]), tensor([[[[0.1250, 0.2500, 0.6250]]]]))
    """

    provides = frozenset({"value", "grad", "prox"})
    strength, exponent = 2.2, 0.7
    least_threshold = 0.5  # here it is a squared length

    def __init__(self, *, weight: float | None = None, center: float | None = None) -> None:
        super().__init__(weight=weight)
        if center is not None:
            warn_renamed("tikhonov:center=…, which no longer has an effect,", "the prior deepinv.Tikhonov")

    def value(self, x: Tensor) -> Tensor:
        """Return `weight * h(x)`, (B,)."""
        squares = [x.diff(dim=axis).square().flatten(1).sum(1) for axis in (-2, -1)]
        return self._factor() * 0.5 * (squares[0] + squares[1])

    def grad(self, x: Tensor) -> Tensor:
        """Return `weight * D^T D x`."""
        return self._factor() * (_laplacian(x, -2) + _laplacian(x, -1))

    def make_prox(self, shape: tuple[int, ...]) -> Prox:
        """Return the filter `1 / (1 + gamma weight (4 - 2 cos a - 2 cos b))` of the cosine transform."""
        height, width = shape[-2:]

        def prox(x: Tensor, gamma: float | Tensor) -> Tensor:
            wide = widen(require_images(x))
            mirrored = torch.cat([wide, wide.flip(-1)], -1)
            mirrored = torch.cat([mirrored, mirrored.flip(-2)], -2)
            threshold = per_image(self._threshold(wide, gamma), wide)
            spectrum = torch.fft.rfft2(mirrored) / (1 + threshold * _eigenvalues(2 * height, 2 * width, wide))
            return torch.fft.irfft2(spectrum, s=(2 * height, 2 * width))[..., :height, :width].to(x.dtype)

        return prox


def _laplacian(x: Tensor, axis: int) -> Tensor:
    """Return `D^T D x` for the differences along one axis."""
    border = torch.zeros_like(x.narrow(axis, 0, 1))
    return -x.diff(dim=axis).diff(dim=axis, prepend=border, append=border)


def _eigenvalues(height: int, width: int, like: Tensor) -> Tensor:
    """Return `4 - 2 cos a - 2 cos b` at the frequencies of `rfft2`."""
    a = torch.fft.fftfreq(height, dtype=like.dtype, device=like.device)[:, None]
    b = torch.fft.rfftfreq(width, dtype=like.dtype, device=like.device)
    return 4 * (pi * a).sin().square() + 4 * (pi * b).sin().square()
