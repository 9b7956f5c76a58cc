"""Grayscale; its inverse problem is colourisation."""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.fourier import widen
from rgmkit.core.linear import per_image
from rgmkit.core.noise import NoiseLike
from rgmkit.errors import ConfigError, IncompatibleError

NAMED = {"luma": (0.299, 0.587, 0.114), "mean": (1 / 3, 1 / 3, 1 / 3)}


@final
class Grayscale(Degradation):
    """`y = sum_c w_c x_c + noise * e`: (B, C, H, W) to (B, 1, H, W), with one weight for each channel.

    All singular values are `|w|`, so that adjoint, prox and pinv are closed forms. The weights are not normalised
    to sum 1.

    Severity s blends the image with its grey version.

    Args:
        weights: luma (.299, .587, .114 of Rec. ITU-R BT.601, used by Pillow, OpenCV and JPEG, and so by most grey
            pictures), mean (a third for each of three channels), or a number for each channel.
        noise: standard deviation of the noise, in units of the [0, 1] image.

    Raises:
        ConfigError: if the weights are all 0, or not finite.

    >>> grey = Grayscale(weights=(0.5, 0.25, 0.25))
    >>> y = grey.A(torch.tensor([0.8, 0.4, 0.0]).reshape(1, 3, 1, 1))
    >>> y
    tensor([[[[0.5000]]]])
    >>> grey.embed(y).flatten(), grey.pinv(y).flatten()
    (tensor([0.5000, 0.5000, 0.5000]), tensor([0.6667, 0.3333, 0.3333]))
    """

    def __init__(
        self, *, weights: Literal["luma", "mean"] | tuple[float, ...] = "luma", noise: NoiseLike = 0.0
    ) -> None:
        super().__init__(noise=noise)
        if isinstance(weights, str) and weights not in NAMED:
            raise ConfigError(f"weights is {weights!r}: give {', '.join(NAMED)}, or a number for each channel")
        self.weights = NAMED[weights] if isinstance(weights, str) else tuple(map(float, weights))
        if not any(self.weights) or not all(map(math.isfinite, self.weights)):
            raise ConfigError(f"weights is {list(self.weights)}: give a finite number for each channel, not all 0")

    def A(self, x: Tensor) -> Tensor:
        """Return `sum_c w_c x_c`.

        Raises:
            IncompatibleError: if the image does not have one channel for each weight.
        """
        if x.ndim != 4 or x.shape[1] != len(self.weights):
            raise IncompatibleError(
                f"grayscale: {len(self.weights)} weights for an image (B, C, H, W) of shape {tuple(x.shape)}: give "
                f"an image of {len(self.weights)} channels, or weights=, a number for each channel"
            )
        return (self._w(x) * widen(x)).sum(1, keepdim=True).to(x.dtype)

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape with one channel for each weight."""
        return y_shape[0], len(self.weights), *y_shape[2:]

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `w_c y`."""
        return (self._w(y) * y).to(y.dtype)

    def pinv(self, y: Tensor) -> Tensor:
        """Return `w_c y / |w|^2`."""
        return (self._w(y) * y / self._power).to(y.dtype)

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `z + gamma / (1 + gamma |w|^2) w (y - A z)`."""
        g = per_image(gamma, widen(z))
        residual = widen(y) - self.A(widen(z))
        return (z + g / (1 + g * self._power) * self._w(z) * residual).to(z.dtype)

    def embed(self, y: Tensor) -> Tensor:
        """Return the grey image whose measurement is `y`, `y / sum(w)`; `pinv` if the weights sum to 0."""
        total = math.fsum(self.weights)
        if abs(total) <= 1e-6 * math.sqrt(self._power):
            return self.pinv(y)
        return (widen(y) / total).expand(-1, len(self.weights), -1, -1).to(y.dtype, copy=True)

    @property
    def _power(self) -> float:
        """`|w|^2`."""
        return math.fsum(w * w for w in self.weights)

    def _w(self, like: Tensor) -> Tensor:
        wide = widen(like)
        return torch.tensor(self.weights, dtype=wide.dtype, device=wide.device).reshape(1, -1, 1, 1)
