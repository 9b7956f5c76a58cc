"""Blur by camera shake."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch

from rgmkit.core.noise import NoiseLike
from rgmkit.core.random import randn, seeded
from rgmkit.errors import ConfigError
from rgmkit_blur.borders import Boundary
from rgmkit_blur.convolution import Convolution
from rgmkit_blur.kernels import LARGEST_LENGTH, Kernel

MODES = 6  # of the swing: a hand trembles a few times during an exposure, and its inertia keeps the path smooth
DECAY = 1.5  # amplitude of mode k is k^-DECAY
SAMPLES = 16  # of the exposure for each pixel of the path


@final
class MotionBlur(Convolution):
    """Convolution `y = k * x + noise * e` with the random trajectory k of a hand-held camera; see `Trajectory`.

    Adjoint, prox and pinv are those of `Convolution`. The kernel depends only on the options and is the
    same for every image. At severity s the same trajectory has the size `s * size`.

    Args:
        size: the longer side of the box around the trajectory, in pixels.
        shake: ratio of swing to drift: 0 is a straight motion at constant speed, 1 a hand, more a tangle.
        seed: of the trajectory.
        boundary: how the image is extended beyond its border: circular, reflect, mirror, replicate or valid; see
            `Convolution`.
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
        boundary: Boundary = "reflect",
        noise: NoiseLike = 0.0,
    ) -> None:
        taps = Trajectory(float(size), float(shake), seed).kernel()
        super().__init__(taps=taps, boundary=boundary, noise=noise)
        self.size, self.shake, self.seed = float(size), float(shake), seed

    def at(self, severity: float) -> MotionBlur:
        """The same trajectory, smaller."""
        return self.with_options(size=severity * self.size, noise=self.noise_at(severity))


@dataclass(frozen=True)
class Trajectory:
    """A smooth random path of the image over the sensor; each tap is the fraction of the exposure spent there.

    The position at time t of the exposure, 0 to 1, is a straight drift plus a random swing,

        p(t) = t d + shake * sum_k k^(-3/2) (a_k cos(2 pi k t) + b_k sin(2 pi k t)),    k = 1 … 6,

    with a unit vector d and normal vectors a_k, b_k (variance 1/12) from the seed. It is scaled until the
    longer side of its bounding box is `size`, and shifted until its mean is the centre of the central pixel, so that
    the blur does not shift the image. Each sample is distributed bilinearly over its four pixels.

    >>> taps = Trajectory(size=9.0, seed=1).kernel().taps
    >>> round(float(taps.sum()), 12), bool((taps >= 0).all())
    (1.0, True)
    """

    size: float = 21.0
    shake: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.size <= LARGEST_LENGTH:
            raise ConfigError(f"size is {self.size}: give the extent of the trajectory, 0 to {LARGEST_LENGTH} pixels")
        if not 0 <= self.shake < math.inf:
            raise ConfigError(f"shake is {self.shake}: give 0 (a straight motion), 1 (a hand) or more")

    def positions(self, samples: int) -> np.ndarray:
        """Return `p(t)` in pixels (down, right) at the centres of `samples` equal intervals, (samples, 2)."""
        draws = randn((2 * MODES + 1, 2), generator=seeded(self.seed), dtype=torch.float64).numpy()
        t, k = (np.arange(samples) + 0.5) / samples, np.arange(1, MODES + 1)
        waves = np.outer(t, 2 * math.pi * k)
        swing = np.hstack([np.cos(waves), np.sin(waves)]) @ (draws[1:] / np.tile(k**DECAY, 2)[:, None])
        path = np.outer(t, draws[0] / np.linalg.norm(draws[0])) + self.shake * swing / math.sqrt(12)
        return self.size * (path - path.mean(0)) / np.ptp(path, axis=0).max()

    def kernel(self) -> Kernel:
        """Return the kernel."""
        length = np.linalg.norm(np.diff(self.positions(1024), axis=0), axis=1).sum()
        positions = self.positions(1024 + math.ceil(SAMPLES * length))
        positions -= positions.mean(0)  # the rest that the sampling leaves
        corner = np.floor(positions).astype(int)
        radius = np.maximum(-corner.min(0), corner.max(0) + 1)
        taps = np.zeros(2 * radius + 1)
        for step in np.ndindex(2, 2):
            weights = np.prod(1 - np.abs(positions - corner - step), axis=1)
            np.add.at(taps, tuple((corner + step + radius).T), weights)
        return Kernel.of(taps)

    def at(self, severity: float) -> Trajectory:
        """Return the same trajectory with the size `severity * size`."""
        return replace(self, size=severity * self.size)
