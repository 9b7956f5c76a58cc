"""Blur by camera shake."""

from __future__ import annotations

from typing import final

from rgmkit_blur.convolution import Boundary, Convolution
from rgmkit_blur.trajectory import Trajectory


@final
class MotionBlur(Convolution):
    """Convolution `y = k * x + noise * e` with the random trajectory k of a hand-held camera; see `Trajectory`.

    Adjoint, prox and pinv are those of `Convolution`. The kernel depends only on the options and is the
    same for every image. At severity s the same trajectory has the size `s * size`.

    Args:
        size: the longer side of the box around the trajectory, in pixels.
        shake: ratio of swing to drift: 0 is a straight motion at constant speed, 1 a hand, more a tangle.
        seed: of the trajectory.
        boundary: how the image is extended beyond its border: circular, reflect or replicate.
        noise: standard deviation of the noise, in units of the [0, 1] image.

    >>> import torch
    >>> shaken = MotionBlur(size=7, seed=3)
    >>> y = shaken.A(torch.ones(1, 3, 16, 20))
    >>> bool(torch.allclose(y, torch.ones(1, 3, 16, 20)))
    True
    """

    def __init__(
        self,
        *,
        size: float = 21.0,
        shake: float = 1.0,
        seed: int = 0,
        boundary: Boundary = "circular",
        noise: float | None = 0.0,
    ) -> None:
        taps = Trajectory(float(size), float(shake), seed).kernel()
        super().__init__(taps=taps, boundary=boundary, noise=noise)
        self.size, self.shake, self.seed = float(size), float(shake), seed

    def at(self, severity: float) -> MotionBlur:
        """The same trajectory, smaller."""
        return self.with_options(size=severity * self.size, noise=self.noise_at(severity))
