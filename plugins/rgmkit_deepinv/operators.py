"""Operators of deepinv by name."""

from __future__ import annotations

from typing import Literal, final

import torch
from deepinv import physics as operators
from deepinv.physics.generator import GaussianMaskGenerator
from torch import Tensor
from torch.nn.functional import conv2d

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import per_image, vjp_adjoint
from rgmkit.core.noise import NoiseLike
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError, DataError, IncompatibleError
from rgmkit.runtime.memory import check_memory
from rgmkit_deepinv.physics import PhysicsDegradation


@final
class Tomography(PhysicsDegradation):
    """Parallel-beam tomography: sums along straight lines, divided by the norm of the operator.

    A square image (B, C, width, width) becomes (B, C, detectors, angles) with
    `detectors = ceil(sqrt(2) width)`; the angles are spread evenly over 180 degrees. After the division the values
    are at most about 1, so that `noise` is relative to the brightest sums.

    Args:
        width: side of the square image, in pixels.
        angles: number of angles.
        noise: standard deviation of the noise, in units of the measurement.

    >>> scanner = Tomography(width=16, angles=10)
    >>> scanner.A(torch.ones(1, 1, 16, 16)).shape
    torch.Size([1, 1, 23, 10])
    """

    def __init__(self, *, width: int, angles: int = 60, noise: NoiseLike = 0.0) -> None:
        if width < 2 or angles < 1:
            raise ConfigError(f"width is {width} and angles {angles}: give 2 pixels and 1 angle, or more")
        check_memory((2, angles, width, width), "coordinates along all rays")
        super().__init__(operators.Tomography(angles=angles, img_width=width, normalize=True), None, noise)
        self.width = width

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return `(B, C, width, width)`."""
        return (*y_shape[:2], self.width, self.width)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the back-projection; deepinv's is equal, but keeps state from one batch to the next."""
        return vjp_adjoint(self.A, y, self.image_shape(tuple(y.shape)))


@final
class SinglePixel(PhysicsDegradation):
    """A single-pixel camera: the first Walsh-Hadamard coefficients of each channel, from smooth to fine.

    `y` has the shape of the image and holds the coefficients of the orthonormal transform, 0 where none was
    measured. Prox and pinv are closed forms.

    Args:
        shape: of the image, (C, H, W); H and W are powers of 2.
        measurements: how many coefficients of each channel.
        ordering: of the coefficients.
        noise: standard deviation of the noise of a coefficient.

    >>> SinglePixel(shape=(1, 4, 4), measurements=3).A(torch.ones(1, 1, 4, 4)).sum()
    tensor(4.)
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        measurements: int,
        ordering: Literal["sequency", "cake_cutting", "zig_zag", "xy"] = "sequency",
        noise: NoiseLike = 0.0,
    ) -> None:
        _check(shape, measurements, shape[1] * shape[2])
        if any(side & (side - 1) for side in shape[1:]):
            raise ConfigError(f"shape is {shape}: give a height and a width that are powers of 2")
        camera = operators.SinglePixelCamera(m=measurements, img_size=shape, ordering=ordering)
        super().__init__(camera, shape, noise)

    def estimate_noise(self, y: Tensor) -> float:
        """Raise a DataError: it cannot be estimated from coefficients."""
        raise _cannot_estimate("deepinv.SinglePixel")


@final
class CompressedSensing(PhysicsDegradation):
    """`y = M x`, (B, measurements), with independent normal entries of variance `1 / measurements`.

    The matrix is stored: it is for images of up to about 64 x 64 pixels.

    Args:
        shape: of the image, (C, H, W).
        measurements: number of measurements.
        seed: of the matrix.
        noise: standard deviation of the noise of a measurement.

    >>> CompressedSensing(shape=(1, 4, 4), measurements=5).A(torch.ones(2, 1, 4, 4)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self, *, shape: tuple[int, int, int], measurements: int, seed: int = 0, noise: NoiseLike = 0.0
    ) -> None:
        _check(shape, measurements, shape[0] * shape[1] * shape[2])
        matrix = operators.CompressedSensing(m=measurements, img_size=shape, rng=seeded(seed))
        super().__init__(matrix, shape, noise)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `M^T y`; deepinv's stays in float32 when the matrix is moved to float64."""
        return vjp_adjoint(self.A, y, self.image_shape(tuple(y.shape)))


@final
class MRI(PhysicsDegradation):
    """Accelerated magnetic resonance imaging of a real image: some columns of its orthonormal k-space.

    A grey image (B, 1, H, W) becomes (B, 2, H, W), real and imaginary part, 0 where nothing was measured. The
    columns are random, denser towards the centre, with a fully sampled band in the middle.

    Args:
        shape: of the image, (H, W).
        acceleration: one column in `acceleration` is measured.
        center: fraction of the columns in the fully sampled band. Default: .08, or .04 from acceleration 8 on.
        seed: of the columns.
        noise: standard deviation of the noise of the real and of the imaginary part.

    >>> MRI(shape=(8, 8), acceleration=2).A(torch.ones(1, 1, 8, 8)).shape
    torch.Size([1, 2, 8, 8])
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int],
        acceleration: int = 4,
        center: float | None = None,
        seed: int = 0,
        noise: NoiseLike = 0.0,
    ) -> None:
        _check((1, *shape), 1, 1)
        if acceleration < 1 or (center is not None and not 0 < center < 1):
            raise ConfigError(f"acceleration is {acceleration} and center {center}: give 1 or more, and a fraction")
        mask = GaussianMaskGenerator(shape, acceleration, center, rng=seeded(seed)).step()["mask"]
        if not mask.any():
            raise ConfigError(f"acceleration is {acceleration} for {shape[1]} columns: none is measured, give less")
        super().__init__(operators.MRI(mask=mask), (1, *shape), noise)

    def A(self, x: Tensor) -> Tensor:
        """Return the measured columns of k-space."""
        if x.shape[1] != 1:
            raise IncompatibleError(f"deepinv.MRI measures grey images, and this has {x.shape[1]} channels")
        self._check_shape(x)
        return self._in_own_precision(self.physics.A, torch.cat([x, torch.zeros_like(x)], dim=1))

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the real part of the inverse transform."""
        return super().adjoint(y)[:, :1]

    def estimate_noise(self, y: Tensor) -> float:
        """Raise a DataError: it cannot be estimated from k-space."""
        raise _cannot_estimate("deepinv.MRI")

    @property
    def has_closed_form_prox(self) -> bool:
        """False: deepinv's singular vectors are those of complex images."""
        return False


@final
class Demosaicing(Degradation):
    """One colour per pixel, in the Bayer pattern of a camera's sensor.

    `y` has the shape of the image, 0 where a colour was not measured. Prox and pinv are closed forms, `embed` is
    bilinear interpolation. Any image size.

    Args:
        noise: standard deviation of the noise, in units of the [0, 1] image.

    >>> Demosaicing().A(torch.ones(1, 3, 2, 2)).sum(dim=(2, 3))
    tensor([[1., 2., 1.]])
    """

    def A(self, x: Tensor) -> Tensor:
        """Return the measured colours."""
        return self._mask(x) * x

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `A y`."""
        return self.A(y)

    def pinv(self, y: Tensor) -> Tensor:
        """Return `A y`."""
        return self.A(y)

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `(z + gamma m y) / (1 + gamma m)`, m the mask."""
        g = per_image(gamma, z) * self._mask(z)
        return (z + g * y) / (1 + g)

    def embed(self, y: Tensor) -> Tensor:
        """Interpolate the missing colours bilinearly."""
        mask = self._mask(y)
        triangle = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).to(y).expand(3, 1, 3, 3)
        sums, weights = (conv2d(part, triangle, padding=1, groups=3) for part in (mask * y, mask))
        return torch.where(mask > 0, y, sums / weights.clamp(min=1))

    def estimate_noise(self, y: Tensor) -> float:
        """Estimate the noise std from the four images of half the size that the pattern consists of."""
        red, blue = y[:, 0, 1::2, 1::2], y[:, 2, ::2, ::2]
        greens = y[:, 1, ::2, 1::2], y[:, 1, 1::2, ::2]
        rows, columns = (min(part.shape[i] for part in (red, blue, *greens)) for i in (1, 2))
        return super().estimate_noise(torch.stack([part[:, :rows, :columns] for part in (red, blue, *greens)], dim=1))

    @staticmethod
    def _mask(like: Tensor) -> Tensor:
        if like.ndim != 4 or like.shape[1] != 3:
            raise IncompatibleError(f"deepinv.Demosaicing is for colour images (B, 3, H, W), not {tuple(like.shape)}")
        return operators.Demosaicing(img_size=tuple(like.shape[1:])).mask.to(like)


def _check(shape: tuple[int, ...], measurements: int, most: int) -> None:
    if min(shape) < 1:
        raise ConfigError(f"shape is {shape}: give sides of 1 or more")
    if not 1 <= measurements <= most:
        raise ConfigError(f"measurements is {measurements}: give 1 to {most}, the number of values of an image")


def _cannot_estimate(name: str) -> DataError:
    return DataError(f"{name}: the noise of its measurements cannot be estimated: give noise=, its standard deviation")
