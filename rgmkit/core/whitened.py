"""Problems with noise of any covariance as problems with white noise."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import vjp_adjoint
from rgmkit.core.noise import LEAST_STD, FixedNoise, Noise


@final
class Whitened(Degradation):
    """`W y = W A x + noise * e` with `W = noise Sigma^{-1/2}`: a degradation whose noise is white.

    Its fidelity is that of `y = A x + n`, with n of covariance Sigma, whatever its `noise` is.

    Args:
        degradation: A.
        noise: the model of n, with known parameters.
        Ax: at which Sigma is taken, if it depends on the signal; else any measurement.
        unit: `noise` as a number. Default: the least std of n, so that W is the identity if n is white.
        guess: images, and weights of 0 to 1 with which they replace the initial estimate.

    >>> import torch, rgmkit
    >>> noise = rgmkit.noise("per-channel", std=[0.1, 0.2])
    >>> whitened = Whitened(rgmkit.degradation("gaussian-noise"), noise, torch.zeros(1, 2, 1, 1))
    >>> whitened.A(torch.ones(1, 2, 1, 1)).flatten(), whitened.noise
    (tensor([1.0000, 0.5000]), 0.1)
    """

    def __init__(
        self,
        degradation: Degradation,
        noise: Noise,
        Ax: Tensor,
        *,
        unit: float | None = None,
        guess: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        least = float(noise.variance(Ax).min().sqrt())
        super().__init__(noise=round(max(LEAST_STD, least if unit is None else unit), 7))
        self.degradation, self.model, self.guess = degradation, noise, guess
        self.linear = degradation.linear  # type: ignore[misc]  # known here only
        self.linearisable = degradation.linearisable  # type: ignore[misc]
        self.register_buffer("Ax", Ax.detach(), persistent=False)
        self._unit = float(self.noise)  # type: ignore[arg-type]  # a float, see above

    Ax: Tensor

    @property
    def title(self) -> str:
        """The name of A."""
        return self.degradation.title

    def whiten(self, y: Tensor) -> Tensor:
        """Return `W y`."""
        return self._unit * self.model.whiten(y, self.Ax.to(y.dtype))

    def A(self, x: Tensor) -> Tensor:
        """Return `W A x`."""
        return self.whiten(self.degradation.A(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `A^T W^T y`."""
        return self.degradation.adjoint(vjp_adjoint(self.whiten, y, tuple(y.shape)))

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the images, as A gives it."""
        return self.degradation.image_shape(y_shape)

    def usable_shape(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the largest shape that A can take."""
        return self.degradation.usable_shape(image_shape)

    def embed(self, y: Tensor) -> Tensor:
        """Embed `W^{-1} y` as A does."""
        return self.degradation.embed(self._colour(y))

    def initial_estimate(self, y: Tensor) -> Tensor:
        """Start from `W^{-1} y` as A does; pixels that only dead values measure are filled as holes."""
        alive, plain = drop_dead(self.degradation, self.model.variance(self.Ax)), self._colour(y)
        start = (
            alive.initial_estimate(plain) if alive is self.degradation else Degradation.initial_estimate(alive, plain)
        )
        if self.guess is None:
            return start
        images, weights = self.guess
        return start.lerp(images.repeat(len(start) // len(images), 1, 1, 1), weights.to(start))

    def _colour(self, y: Tensor) -> Tensor:
        return self.model.colour(y, self.Ax.to(y.dtype)) / self._unit


def drop_dead(degradation: Degradation, variance: Tensor) -> Degradation:
    """Return the degradation with values of infinite variance set to 0; itself if there are none."""
    finite = variance.isfinite()
    if bool(finite.all()):
        return degradation
    alive = Whitened(degradation, FixedNoise(torch.where(finite, 1.0, torch.inf)), variance)
    return alive.with_noise(degradation.noise)
