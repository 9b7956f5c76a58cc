"""Small problems with a known prior: that of the checks of solvers, and a Gaussian one with a known posterior."""

from __future__ import annotations

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import dot, per_image
from rgmkit.core.noise import Noise, white_std
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


class Photons(Noise):
    """Noise of variance `(|Ax| + 1/10) / 100`."""

    depends_on_signal = True

    def variance(self, Ax: Tensor) -> Tensor:
        """`(|Ax| + 1/10) / 100`."""
        return (Ax.abs() + 0.1) / 100


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


class GaussianField(RestoringPrior):
    """The exact denoiser of smooth random images, N(1/2, C) with C a circular convolution, and their exact posterior.

    Args:
        process: `y_s = a_s x + sigma_s e`; if it is continuous, the denoiser is exact at any std from level 1 on.
        side: of the images, in pixels.
        length: correlation length, in pixels.
        std: of a pixel.
    """

    generative = False

    def __init__(self, process: ForwardProcess, *, side: int = 8, length: float = 1.5, std: float = 0.2) -> None:
        super().__init__(process, image_shape=(1, side, side))
        self.continuous = process.continuous
        f = torch.fft.fftfreq(side, dtype=torch.float64)
        spectrum = torch.exp(-2 * (torch.pi * length) ** 2 * (f[:, None] ** 2 + f**2)) + 1e-3
        self.spectrum = spectrum * std**2 / spectrum.mean()

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        a, sigma = per_image(self.process.a(level), y), per_image(self.process.sigma(level), y)
        variance = self.spectrum / self.scale**2
        return self._filter(y, a * variance / (a.square() * variance + sigma.square()))

    def draw(self, n: int, *, seed: int = 0) -> Tensor:
        """Draw `n` images, (n, 1, side, side)."""
        return 0.5 + self._filter(draw_images(self._shape, seed=seed, batch=n), self.spectrum.sqrt())

    def posterior(self, y: Tensor, degradation: Degradation) -> tuple[Tensor, Tensor]:
        """Compute the mean (B, 1, side, side) and the covariance (n, n) of the images of n pixels, given `y`."""
        basis = torch.eye(self.spectrum.numel(), dtype=y.dtype).reshape(-1, *self._shape)
        A, C = degradation.A(basis).flatten(1).T, self._filter(basis, self.spectrum).flatten(1)
        gain = C @ A.T @ torch.linalg.inv(A @ C @ A.T + white_std(degradation.noise) ** 2 * torch.eye(len(A)).to(A))
        grey = torch.full((1, *self._shape), 0.5, dtype=y.dtype)
        mean = grey + ((y - degradation.A(grey)).flatten(1) @ gain.T).reshape(-1, *self._shape)
        return mean, C - gain @ A @ C

    @property
    def _shape(self) -> tuple[int, ...]:
        return (1, *self.spectrum.shape)

    def _filter(self, x: Tensor, response: Tensor) -> Tensor:
        return torch.fft.ifft2(torch.fft.fft2(x) * response).real


def draw_truth() -> Tensor:
    """Draw images from the prior, (3, *SHAPE)."""
    return 0.5 + STD * draw_images(SHAPE)


def make_problem(prior: Prior) -> Problem:
    """Return the problem of restoring softened, noisy images."""
    degradation = Soften()
    with torch.no_grad():
        return Problem.from_measurement(degradation(draw_truth(), generator=seeded(1)), degradation, prior)
