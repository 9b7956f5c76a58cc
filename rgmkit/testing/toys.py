"""The small problem with a known prior that the checks of solvers solve."""

from __future__ import annotations

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import dot, per_image
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.process import ForwardProcess, noise_schedule
from rgmkit.core.random import Randomness, seeded
from rgmkit.core.solver import Problem
from rgmkit.testing.measure import draw_images

SHAPE = (2, 4, 6)
STD = 0.1  # of the images, which are grey plus white noise


class Soften(Degradation):
    """The sum of a pixel and its right neighbour, divided by 4: softer, and half as bright."""

    def __init__(self, *, noise: float = STD / 2) -> None:
        super().__init__(noise=noise)

    def A(self, x: Tensor) -> Tensor:
        """`(x + right neighbour) / 4`, circular."""
        return (x + x.roll(-1, -1)) / 4


class Clip(Degradation):
    """Not linear: values above 1/2 are clipped."""

    linear = False

    def A(self, x: Tensor) -> Tensor:
        """`min(x, 1/2)`."""
        return x.clamp(max=0.5)


class Nothing(Prior):
    """A prior that provides nothing."""


class Grey(Prior):
    """`g(x) = 1/2 |(x - 1/2) / STD|^2`: minus the logarithm of the density of the images."""

    provides = frozenset({"value", "grad", "prox"})

    def value(self, x: Tensor) -> Tensor:
        """`g(x)`."""
        return dot(x - 0.5, x - 0.5) / (2 * STD**2)

    def grad(self, x: Tensor) -> Tensor:
        """`(x - 1/2) / STD^2`."""
        return (x - 0.5) / STD**2

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """`(x + w / 2) / (1 + w)`, `w = gamma / STD^2`."""
        w = per_image(gamma, x) / STD**2
        return (x + 0.5 * w) / (1 + w)


class NoiseProcess(ForwardProcess):
    """`y_s = a_s x + sigma_s e`."""

    def __init__(self) -> None:
        super().__init__(*noise_schedule("vp", 4))

    def mean(self, x: Tensor, level: Tensor) -> Tensor:
        """`a_s x`."""
        return per_image(self.a(level), x) * x


class Restorer(RestoringPrior):
    """Draw from the posterior under the law of these images, as a perfect network would."""

    latent = SHAPE[0] * SHAPE[1] * SHAPE[2]

    def __init__(self) -> None:
        super().__init__(NoiseProcess(), image_shape=SHAPE)

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        a, sigma, std = per_image(self.process.a(level), y), per_image(self.process.sigma(level), y), STD / self.scale
        v = (a * std).square() + sigma.square()
        return (a * std**2 * y + std * sigma * v.sqrt() * z.reshape(y.shape)) / v


def draw_truth() -> Tensor:
    """Draw images from the prior, (3, *SHAPE)."""
    return 0.5 + STD * draw_images(SHAPE)


def make_problem(prior: Prior) -> Problem:
    """Return the problem of restoring softened, noisy images."""
    degradation = Soften()
    with torch.no_grad():
        return Problem.from_measurement(degradation(draw_truth(), generator=seeded(1)), degradation, prior)
