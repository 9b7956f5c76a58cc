"""Noise models: the law of the noise of a measurement."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, final

import torch
from torch import Tensor

from rgmkit.core.printable import Printable
from rgmkit.core.random import Randomness, randn
from rgmkit.errors import ConfigError, IncompatibleError

LEAST_STD = 1e-5  # a smaller std is whitened as this


@dataclass(frozen=True)
class Stabiliser:
    """An increasing function of a value after which the noise has the same std for every signal.

    Attributes:
        forward: maps measurements; 0 to 0 and 1 to 1.
        inverse: maps the expectation of `forward(y)` to that of y.
        std: of the noise of `forward(y)`.
    """

    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    std: float


class Noise(Printable, ABC):
    """The noise of a measurement `y`: independent of pixel to pixel, with mean 0 and a variance that a subclass gives.

    The covariance Sigma may depend on `Ax`, the measurement without noise. If the values are correlated, a subclass
    overrides `whiten` and `colour` with `Sigma^{-1/2}` and `Sigma^{1/2}`; if they are not normal, `sample`.
    Methods never change the object: every parameter is a keyword of the constructor.

    Values are in units of the measurement of an image in [0, 1].

    Attributes:
        depends_on_signal: whether Sigma depends on `Ax`.
        correlated: whether `whiten` and `colour` are overridden, since values are correlated.

    >>> class Dark(Noise):
    ...     "Noise that grows with the signal."
    ...     depends_on_signal = True
    ...     def variance(self, Ax):
    ...         return 0.01 * (1 + Ax)
    >>> Dark().whiten(torch.tensor([0.2]), torch.tensor([3.0]))
    tensor([1.])
    """

    depends_on_signal: ClassVar[bool] = False
    correlated: ClassVar[bool] = False

    @property
    def known(self) -> bool:
        """Whether all parameters are known; else `estimate` finds them for each image. Default: True."""
        return True

    @abstractmethod
    def variance(self, Ax: Tensor) -> Tensor:
        """Return the variance of each value, in a shape that broadcasts to `Ax`; infinite for a dead value."""

    def sample(self, Ax: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw a measurement. Default: `Ax + colour(e)`, `e ~ N(0, I)`."""
        return Ax + self.colour(randn(Ax.shape, generator=generator, device=Ax.device, dtype=Ax.dtype), Ax)

    def whiten(self, residual: Tensor, Ax: Tensor) -> Tensor:
        """Return `Sigma^{-1/2} residual`: noise becomes white, with std 1, and values of infinite variance 0."""
        return residual / self.variance(Ax).sqrt().clamp(min=LEAST_STD)

    def colour(self, white: Tensor, Ax: Tensor) -> Tensor:
        """Return `Sigma^{1/2} white`, the inverse of `whiten`; 0 where the variance is infinite."""
        std = self.variance(Ax).sqrt()
        return white * std.where(std.isfinite(), 0)

    def estimate(self, y: Tensor) -> Noise:
        """Estimate unknown parameters from the measurement `y` of one image (1, ...). Default: there are none.

        Raises:
            DataError: if they cannot be estimated from `y`.
        """
        return self

    def power(self, Ax: Tensor) -> Tensor | None:
        """Return the power spectrum (H, W) of stationary noise, `E |FFT(n)|^2 / (H W)`. Default: None, not stationary.

        Correlated noise without a power spectrum is restored, too, but solvers are tuned worse for it.
        """
        return None

    def stabiliser(self) -> Stabiliser | None:
        """Return the transform after which the noise is nearly white, whatever the signal. Default: None, unknown."""
        return None

    def scale(self, factor: float) -> Noise | float:
        """Return this noise with `factor` times the std; 0.0 for a factor of 0."""
        if factor in (0, 1):
            return self if factor else 0.0
        return ScaledNoise(self, factor)

    def __rmul__(self, factor: float) -> Noise | float:
        return self.scale(factor)

    __mul__ = __rmul__


NoiseLike: TypeAlias = float | Noise | None
"""The noise of a degradation: the std of white noise, a noise model, or None if it is unknown."""


@final
class White(Noise):
    """White Gaussian noise. As the `noise` of a degradation it reads as its std, a number.

    Args:
        std: standard deviation, in units of the [0, 1] image.

    Raises:
        ConfigError: if it is negative or not finite.
    """

    def __init__(self, *, std: float) -> None:
        if not 0 <= std < math.inf:
            raise ConfigError(f"noise is {std}: give a standard deviation of 0 or more, in units of [0, 1] images")
        self.std = float(std)

    def variance(self, Ax: Tensor) -> Tensor:
        """Return `std^2`."""
        return torch.as_tensor(self.std**2, dtype=Ax.real.dtype, device=Ax.device)


@final
class ScaledNoise(Noise):
    """A noise model whose std is multiplied by a factor."""

    def __init__(self, noise: Noise, factor: float) -> None:
        self.noise, self.factor = noise, factor
        self.depends_on_signal, self.correlated = noise.depends_on_signal, noise.correlated  # type: ignore[misc]

    @property
    def known(self) -> bool:
        """Whether the parameters of the model are known."""
        return self.noise.known

    def variance(self, Ax: Tensor) -> Tensor:
        """Return `factor^2` times the variance of the model."""
        return self.factor**2 * self.noise.variance(Ax)

    def sample(self, Ax: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw a measurement with `factor` times the noise of the model."""
        return Ax + self.factor * (self.noise.sample(Ax, generator=generator) - Ax)

    def whiten(self, residual: Tensor, Ax: Tensor) -> Tensor:
        """Divide what the model whitens by `factor`."""
        return self.noise.whiten(residual, Ax) / self.factor

    def colour(self, white: Tensor, Ax: Tensor) -> Tensor:
        """Multiply what the model colours by `factor`."""
        return self.factor * self.noise.colour(white, Ax)

    def estimate(self, y: Tensor) -> Noise:
        """Estimate the noise of `y` itself."""
        return self.noise.estimate(y)


@final
class FixedNoise(Noise):
    """Independent Gaussian noise with a std for each value, `std`, of the shape of the measurement."""

    def __init__(self, std: Tensor) -> None:
        self.std = std

    def variance(self, Ax: Tensor) -> Tensor:
        """Return `std^2`."""
        return self.std.to(Ax.real).square()


def check_noise(noise: NoiseLike) -> NoiseLike:
    """Return white noise as its std, a float, and any other noise as it is.

    Raises:
        ConfigError: if a std is negative or not finite, or `noise` is something else.
    """
    if noise is None or (isinstance(noise, Noise) and not isinstance(noise, White)):
        return noise
    if isinstance(noise, White):
        return noise.std
    try:
        return White(std=float(noise)).std
    except (TypeError, ValueError):
        raise ConfigError(f"noise is {noise!r}: give a standard deviation, a noise model, or None") from None


def noise_model(noise: float | Noise) -> Noise:
    """Return the noise model of a known noise."""
    return noise if isinstance(noise, Noise) else White(std=noise)


def white_std(noise: NoiseLike) -> float:
    """Return the std of white noise; 0 if the noise is unknown.

    Raises:
        IncompatibleError: if the noise is not white.
    """
    if isinstance(noise, Noise):
        raise IncompatibleError(f"the noise {noise} is not white: this takes one std, see `Whitened`")
    return noise or 0.0


def scale_noise(noise: NoiseLike, factor: float) -> NoiseLike:
    """Multiply the std of a noise by `factor`; unknown noise stays None."""
    if isinstance(noise, Noise):
        return noise.scale(factor)
    return None if noise is None else factor * noise
