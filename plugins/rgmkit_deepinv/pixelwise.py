"""Priors of independent pixels: Tikhonov and l1."""

from __future__ import annotations

from typing import final

from torch import Tensor

from rgmkit.core.linear import per_image
from rgmkit_deepinv.explicit import ExplicitPrior, Prox


class Tikhonov(ExplicitPrior):
    """`h(x) = 1/2 |x - center|^2`: independent Gaussian pixels of mean `center` and variance `1 / weight`.

    It deblurs; for denoising and super-resolution it gains little and may be worse than the measurement. The default
    weight is .6 dB below the best one on average, 1.4 dB at most on photographs, 2 dB on digits.

    Args:
        weight: factor of `h`, 0 or more. Default: from the noise, see `ExplicitPrior`.
        center: the mean of the pixels.

    >>> import torch
    >>> Tikhonov(weight=1, center=0).prox(torch.ones(1, 1, 1, 2), gamma=1)
    tensor([[[[0.5000, 0.5000]]]])
    """

    provides = frozenset({"value", "grad", "prox"})
    strength, exponent = 1.8, 0.0

    def __init__(self, *, weight: float | None = None, center: float = 0.5) -> None:
        super().__init__(weight=weight)
        self.center = float(center)

    def value(self, x: Tensor) -> Tensor:
        """Return `weight * h(x)`, (B,)."""
        return self._factor() * 0.5 * (x - self.center).flatten(1).norm(dim=1).square()

    def grad(self, x: Tensor) -> Tensor:
        """Return `weight * (x - center)`."""
        return self._factor() * (x - self.center)

    def make_prox(self, shape: tuple[int, ...]) -> Prox:
        """Return `center + (x - center) / (1 + gamma weight)`."""

        def prox(x: Tensor, gamma: float | Tensor) -> Tensor:
            threshold = per_image(self._threshold(x, gamma), x)
            return self.center + (1 / (threshold + 1)) * (x - self.center)

        return prox


@final
class L1(ExplicitPrior):
    """`h(x) = |x|_1`: most pixels are black, as in pictures of stars or of fluorescent spots.

    Args:
        weight: factor of `h`, 0 or more. Default: from the noise, see `ExplicitPrior`.

    >>> import torch
    >>> L1(weight=1).prox(torch.tensor([[[[0.25, 1.0]]]]), 0.5)
    tensor([[[[0.0000, 0.5000]]]])
    """

    strength, exponent = 0.5, 0.25

    def value(self, x: Tensor) -> Tensor:
        """Return `weight * h(x)`, (B,)."""
        return self._factor() * x.flatten(1).norm(1, dim=1)

    def make_prox(self, shape: tuple[int, ...]) -> Prox:
        """Return soft thresholding by `gamma * weight`."""
        return lambda x, gamma: x.sign() * (x.abs() - per_image(self._threshold(x, gamma), x)).relu()
