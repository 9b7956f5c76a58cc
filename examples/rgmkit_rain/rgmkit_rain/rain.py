"""Rain as a linear operator: streaks that absorb part of the light."""

from __future__ import annotations

import math

import torch
from torch import Tensor

import rgmkit
from rgmkit.core.linear import per_image


class Rain(rgmkit.Degradation):
    """`y = m * x + noise * e`, pixel by pixel: `m = 1 - opacity` on a streak and 1 elsewhere.

    The operator is diagonal: it is its own adjoint, and pinv and prox are divisions. The streaks depend
    only on the options and the size of the image.

    Args:
        opacity: fraction of the light that a streak absorbs, at least 0 and below 1.
        density: fraction of the pixels in which a streak begins, from 0 to 1.
        length: length of a streak, in pixels.
        angle: angle of a streak, in degrees from the vertical.
        seed: of the random positions of the streaks.
        noise: standard deviation of the noise, in units of the [0, 1] image.

    >>> rain = Rain(opacity=0.5, length=3, density=0.2)
    >>> sorted(set(rain.A(torch.ones(1, 1, 16, 16)).flatten().tolist()))
    [0.5, 1.0]
    """

    def __init__(
        self,
        *,
        opacity: float = 0.6,
        density: float = 0.02,
        length: int = 8,
        angle: float = 15.0,
        seed: int = 0,
        noise: float | None = 0.0,
    ) -> None:
        super().__init__(noise=noise)
        if not 0 <= opacity < 1 or not 0 <= density <= 1 or length < 1:
            raise rgmkit.ConfigError(
                f"opacity is {opacity}, density {density} and length {length}: "
                f"give 0 <= opacity < 1, 0 <= density <= 1 and a length of 1 or more"
            )
        self.opacity, self.density, self.length, self.angle, self.seed = opacity, density, length, angle, seed

    def A(self, x: Tensor) -> Tensor:
        """Multiply by the mask: `m * x`."""
        return self._transmission(x) * x

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `A y`: the operator is diagonal and real."""
        return self.A(y)

    def pinv(self, y: Tensor) -> Tensor:
        """Return `y / m`."""
        return y / self._transmission(y)

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `(z + gamma m y) / (1 + gamma m^2)`."""
        m, g = self._transmission(y), per_image(gamma, z)
        return (z + g * m * y) / (1 + g * m**2)

    def at(self, severity: float) -> Rain:
        """Return the same streaks with less opacity."""
        return self.with_options(opacity=severity * self.opacity, noise=self.noise_at(severity))

    def _transmission(self, x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        drops = torch.rand(x.shape[-2:], generator=generator) < self.density
        slope = math.tan(math.radians(self.angle))
        streaks = torch.stack([drops.roll((i, round(slope * i)), (0, 1)) for i in range(self.length)]).any(0)
        return (1 - self.opacity * streaks.double()).to(x)
