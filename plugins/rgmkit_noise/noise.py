"""White Gaussian noise."""

from __future__ import annotations

from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import per_image
from rgmkit.core.noise import NoiseLike


class GaussianNoise(Degradation):
    """`y = x + noise * e`, `e ~ N(0, I)`; the inverse problem is denoising.

    At severity s the noise is `s * noise`.

    Args:
        noise: standard deviation of the noise, in units of the [0, 1] image.

    >>> import torch
    >>> noisy = GaussianNoise(noise=0.2)(torch.zeros(1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    >>> round(float(noisy.std()), 2)
    0.2
    """

    def __init__(self, *, noise: NoiseLike = 0.1) -> None:
        super().__init__(noise=noise)

    def A(self, x: Tensor) -> Tensor:
        """Return `x`."""
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `y`."""
        return y

    def pinv(self, y: Tensor) -> Tensor:
        """Return `y`."""
        return y

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `(z + gamma y) / (1 + gamma)`."""
        g = per_image(gamma, z)
        return (z + g * y) / (1 + g)

    def at(self, severity: float) -> GaussianNoise:
        """Return noise of std `severity * noise`."""
        return self.with_noise(self.noise_at(severity))
