"""Noise of counted photons, and of the electronics that read them."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from rgmkit.core.bounds import TINY
from rgmkit.core.noise import Noise, Stabiliser
from rgmkit.core.noise_estimation import affine_variance
from rgmkit.core.random import Randomness, poisson, randn
from rgmkit.errors import ConfigError, DataError, IncompatibleError

LEAST_COUNT = 0.25  # expected photons: the fidelity takes fewer as this


class PoissonGaussian(Noise):
    """Counts of photons with additive Gaussian noise: `y = Poisson(photons Ax) / photons + read e`, `e ~ N(0, I)`.

    The variance is `Ax / photons + read^2`. A negative `Ax` counts as 0.

    Args:
        photons: expected number where `Ax` is 1. Default: estimated from each measurement.
        read: std of the read noise, in units of the [0, 1] image. Default: estimated from each measurement.

    Raises:
        ConfigError: if `photons` is not positive or `read` is negative.

    >>> import torch
    >>> PoissonGaussian(photons=50, read=0.1).variance(torch.tensor([0.0, 0.5]))
    tensor([0.0100, 0.0200])
    """

    depends_on_signal: ClassVar[bool] = True

    def __init__(self, *, photons: float | None = None, read: float | None = None) -> None:
        if photons is not None and not TINY <= photons < math.inf:
            raise ConfigError(f"photons is {photons}: give the positive number of photons of a white pixel")
        if read is not None and not 0 <= read < math.inf:
            raise ConfigError(f"read is {read}: give the std of the read noise, 0 or more")
        self.photons, self.read = photons, read

    @property
    def known(self) -> bool:
        """Whether both parameters are given."""
        return self.photons is not None and self.read is not None

    def variance(self, Ax: Tensor) -> Tensor:
        """Return `Ax / photons + read^2`."""
        photons, read = self._parameters()
        return _positive(Ax) / photons + read**2

    def sample(self, Ax: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw the counts, and then the read noise."""
        photons, read = self._parameters()
        y = poisson(photons * _positive(Ax), generator=generator) / photons
        return y + read * randn(Ax.shape, generator=generator, device=Ax.device, dtype=Ax.dtype) if read else y

    def whiten(self, residual: Tensor, Ax: Tensor) -> Tensor:
        """Divide by the std, at least that of 1/4 of a photon."""
        return residual / self._std(Ax)

    def colour(self, white: Tensor, Ax: Tensor) -> Tensor:
        """Multiply by the std, at least that of 1/4 of a photon."""
        return white * self._std(Ax)

    def stabiliser(self) -> Stabiliser:
        """Return the generalised Anscombe transform, with the closed form of its exact unbiased inverse.

        Source: Mäkitalo and Foi, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian
        noise", 2013.
        """
        photons, read = self._parameters()
        offset = 3 / 8 + (photons * read) ** 2
        low, high = 2 * math.sqrt(offset), 2 * math.sqrt(photons + offset)

        def forward(y: Tensor) -> Tensor:
            return (2 * (photons * y + offset).clamp(min=0).sqrt() - low) / (high - low)

        def inverse(z: Tensor) -> Tensor:
            d = ((high - low) * z + low).clamp(min=low)
            root = math.sqrt(3 / 2)
            count = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8
            return (count - (photons * read) ** 2) / photons

        return Stabiliser(forward, inverse, 1 / (high - low))

    def estimate(self, y: Tensor) -> PoissonGaussian:
        """Estimate what is not given from the variance over grey levels, see `affine_variance`.

        Raises:
            DataError: if `y` is no image, or its noise does not grow with the signal.
        """
        if self.known:
            return self
        if self.photons is not None:
            fixed = affine_variance(y, a=1 / self.photons, name="noise poisson-gaussian")
            return PoissonGaussian(photons=self.photons, read=_round(fixed.b**0.5))
        name = f"noise {type(self).__name__}"
        found = affine_variance(y, b=None if self.read is None else self.read**2, name=name)
        if found.a <= 0:
            raise DataError(f"{name}: no noise was found that grows with the signal: give photons, or another model")
        photons = _round(1 / found.a)
        if self.read is None:
            return PoissonGaussian(photons=photons, read=_round(found.b**0.5))
        return self.with_photons(photons)

    def with_photons(self, photons: float) -> PoissonGaussian:
        """Return the same noise with another number of photons."""
        return PoissonGaussian(photons=photons, read=self.read)

    def _std(self, Ax: Tensor) -> Tensor:
        return self.variance(_positive(Ax).clamp(min=LEAST_COUNT / self._parameters()[0])).sqrt()

    def _parameters(self) -> tuple[float, float]:
        if self.photons is None or self.read is None:
            raise ConfigError(f"the noise {self} has unknown parameters: give them")
        return self.photons, self.read


class Poisson(PoissonGaussian):
    """Counts of photons: `y = Poisson(photons Ax) / photons`, of variance `Ax / photons`.

    Args:
        photons: expected number where `Ax` is 1. Default: estimated from each measurement.

    Raises:
        ConfigError: if `photons` is not positive.

    >>> import torch
    >>> Poisson(photons=50).variance(torch.tensor([0.0, 0.5]))
    tensor([0.0000, 0.0100])
    """

    def __init__(self, *, photons: float | None = None) -> None:
        super().__init__(photons=photons, read=0.0)

    def with_photons(self, photons: float) -> Poisson:
        """Return the same noise with another number of photons."""
        return Poisson(photons=photons)


def _positive(Ax: Tensor) -> Tensor:
    if Ax.is_complex():
        raise IncompatibleError("counts of photons are real, and the measurement is complex: give other noise")
    return Ax.clamp(min=0)


def _round(value: float) -> float:
    return float(f"{value:.3g}")
