"""Known in closed form: a restorer of Gaussian data, operators pixel by pixel, and the matrix of an operator."""

from __future__ import annotations

import math

import torch
from rgmkit_noise.process import GaussianProcess
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import per_image
from rgmkit.core.prior import RestoringPrior


class GaussianRestorer(RestoringPrior):
    """Data `x ~ N(mean, std^2 I)` in the range of the process; `y = a x + sigma e`.

    The restorer is a draw of the posterior `N((a std^2 y + sigma^2 mean) / v, std^2 sigma^2 / v)`,
    `v = a^2 std^2 + sigma^2`, or with `sample=False` its mean: what a perfectly trained network gives.
    """

    def __init__(self, shape=(1, 4, 6), *, mean=0.1, std=0.15, sample=True, levels=4):
        super().__init__(GaussianProcess(levels=levels), image_shape=shape)
        self.mean, self.std, self.sample = mean, std, sample
        self.latent = math.prod(shape) if sample else 0
        self.calls: list[tuple[int, ...]] = []  # levels of each evaluation

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        self.calls.append(tuple(level.tolist()))
        a, sigma = per_image(self.process.a(level), y), per_image(self.process.sigma(level), y)
        v = a**2 * self.std**2 + sigma**2
        x = (a * self.std**2 * y + sigma**2 * self.mean) / v
        return x + self.std * sigma / v.sqrt() * z.reshape(y.shape) if self.sample else x


class Trainable(GaussianRestorer):
    """The same with a float32 parameter and a part that is in training mode."""

    def __init__(self, shape=(1, 4, 6), **options):
        super().__init__(shape, **options)
        self.offset = torch.nn.Parameter(torch.zeros(()))
        self.dropout = torch.nn.Dropout(0.5)

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        return self.dropout(super()._restore(y, level, z)) + self.offset


class Diagonal(Degradation):
    """`d x`, pixel by pixel."""

    def __init__(self, d, *, noise=0.0):
        super().__init__(noise=noise)
        self.d = d

    def A(self, x):
        return self.d * x

    def prox(self, z, y, gamma):
        return (z + gamma * self.d * y) / (1 + gamma * self.d**2)


def matrix(degradation: Degradation, *shape: int) -> torch.Tensor:
    """A as a matrix, made column by column."""
    basis = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    return degradation.A(basis).flatten(1).T


class ExactRestorer(RestoringPrior):
    """The posterior mean for Gaussian images with correlated pixels, at every level of any process."""

    def __init__(self, process, shape=(1, 4, 6), *, reach=2.0):
        super().__init__(process.double(), image_shape=shape)
        rows, columns = (torch.arange(n, dtype=torch.float64) for n in shape[1:])
        places = torch.cartesian_prod(rows, columns)
        self.covariance = 0.04 * torch.exp(-torch.cdist(places, places).square() / (2 * reach**2))

    def posterior_mean(self, y, A, noise, black):
        """Return the mean given `y = A x + black + noise`, for the matrices A and noise; x in [0, 1] with mean 1/2."""
        gain = self.covariance @ A.T @ torch.linalg.inv(A @ self.covariance @ A.T + noise @ noise.T)
        error = (y - black).flatten(1) - 0.5 * A.sum(1)
        return 0.5 + error @ gain.T

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        shape, rows = y.shape[1:], []
        basis = torch.eye(shape.numel(), dtype=y.dtype).reshape(-1, *shape)
        for image, s in zip(y.split(1), level.tolist(), strict=True):
            black = self.level_mean(torch.zeros(1, *shape, dtype=y.dtype), s)
            A = (self.level_mean(basis, s) - black).flatten(1).T
            noise = self.process.shape_noise(basis, self.process.full_level(s, basis)).flatten(1).T
            noise = torch.cat([noise, 1e-6 * torch.eye(len(noise))], 1)
            rows.append(self.posterior_mean(image, A, noise, black))
        return (torch.cat(rows).reshape(y.shape) - self.center) / self.scale
