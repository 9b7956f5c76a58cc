"""The scale of a problem: its noise and the gains of its operator, from which default steps and weights are made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import operator_norm
from rgmkit.core.random import seeded
from rgmkit.solvers.measurement import check_norm, gain, noise_of


@dataclass(frozen=True, eq=False)
class ProblemScale:
    """Noise and gains of a problem, the same for every batch and seed.

    Attributes:
        degradation: `A` and its noise.
        shape: of the images, (B, C, H, W).
        y: the measurement, for its type and device.
    """

    degradation: Degradation
    shape: tuple[int, ...]
    y: Tensor

    @property
    def noise(self) -> float:
        """The noise std, at least 1e-3."""
        return noise_of(self.degradation)

    @cached_property
    def mean_gain(self) -> float:
        """`|A|_F^2 / n`, the mean squared singular value over the n pixels, from white noise."""
        return gain(self.degradation, self.shape, self.y)

    @cached_property
    def largest_gain(self) -> float:
        """`|A|^2`, the largest squared singular value, by power iteration."""
        degradation, y = self.degradation, self.y

        def normal(x: Tensor) -> Tensor:
            return degradation.adjoint(degradation.A(x))

        found = operator_norm(normal, self.shape, generator=seeded(1), dtype=y.real.dtype, device=y.device)
        return check_norm(found, degradation)
