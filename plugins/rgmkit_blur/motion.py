"""Blur by a camera that shakes."""

from __future__ import annotations

from typing import final

from rgmkit_blur.convolution import Boundary, Convolution
from rgmkit_blur.trajectory import Trajectory


@final
class MotionBlur(Convolution):
    """`y = k * x + noise * e`, with k the random trajectory of a camera in the hand; see `Trajectory`.

    Adjoint, prox and pinv are those of `Convolution`. The kernel is a function of the options alone, and the
    same for every image. Severity s has the same trajectory at `s * size`.

    Args:
        size: the longer side of the box around the trajectory, in pixels.
        shake: swing over drift: 0 is a straight motion at constant speed, 1 a hand, more a knot.
        seed: of the trajectory.
        boundary: what lies beyond the border: circular, reflect or replicate.
        noise: standard deviation, in units of the [0, 1] image.

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
