"""Downsampling; its inverse problem is super-resolution."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.noise import NoiseLike
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_downsample.sampling import Box, Filtered

Filter = Literal["box", "gaussian", "bicubic"]


class Downsample(Degradation):
    """`y = (k * x) at every factor-th pixel + noise * e`: (B, C, H, W) to (B, C, H / factor, W / factor).

    `box` averages factor x factor pixels: all singular values are `1 / factor`, and the pseudo-inverse
    repeats each pixel. `gaussian` (std `sqrt(factor^2 - 1) / 2` pixels) and `bicubic` (Keys' cubic
    stretched by the factor) filter with a circular boundary. All are centred: a coarse pixel lies at the
    centre of its factor x factor fine ones. Prox and pinv are closed forms; pinv ignores singular
    values below `sqrt(eps)` of the largest.

    Severity s blends the image with its enlarged measurement.

    Args:
        factor: by which each side is divided, a whole number of 1 or more.
        filter: box, gaussian or bicubic.
        noise: standard deviation of the noise, in units of the [0, 1] image.

    >>> import torch
    >>> half = Downsample(factor=2)
    >>> half.A(torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]]))
    tensor([[[[0.5000]]]])
    >>> half.usable_shape((3, 15, 8))
    (3, 14, 8)
    """

    def __init__(self, *, factor: int = 2, filter: Filter = "box", noise: NoiseLike = 0.0) -> None:
        super().__init__(noise=noise)
        if factor < 1 or factor != int(factor):
            raise ConfigError(f"factor is {factor}: give a whole number of 1 or more")
        if filter not in get_args(Filter):
            raise ConfigError(f"filter is {filter!r}: give {', '.join(get_args(Filter))}")
        self.factor, self.filter = int(factor), filter
        self.sampling = Box(self.factor) if filter == "box" else Filtered(self.factor, filter)

    def A(self, x: Tensor) -> Tensor:
        """Return the filtered image at every factor-th pixel.

        Raises:
            IncompatibleError: if the factor does not divide the size; `usable_shape` is the size to crop to.
        """
        usable = self.usable_shape(tuple(x.shape))
        if usable != tuple(x.shape):
            raise IncompatibleError(
                f"downsample: factor {self.factor} does not divide an image of {_size(x.shape)} pixels "
                f"(height x width): crop it to {_size(usable)}, or use another factor"
            )
        return self.sampling.A(x)

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape with `factor` times as many rows and columns."""
        return *y_shape[:-2], y_shape[-2] * self.factor, y_shape[-1] * self.factor

    def usable_shape(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the largest shape within `image_shape` (…, H, W) that the factor divides.

        Raises:
            IncompatibleError: if a side is smaller than the factor.
        """
        usable = *image_shape[:-2], *(side - side % self.factor for side in image_shape[-2:])
        if 0 in usable[-2:]:
            raise IncompatibleError(
                f"downsample: factor {self.factor} is larger than a side of an image of {_size(image_shape)} "
                f"pixels (height x width): use a smaller factor"
            )
        return usable

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `A^T y`."""
        return self.sampling.adjoint(y)

    def pinv(self, y: Tensor) -> Tensor:
        """Return `A^T (A A^T)^+ y`; for box, each pixel repeated."""
        return self.sampling.pinv(y)

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `z + gamma A^T (I + gamma A A^T)^-1 (y - A z)`."""
        return self.sampling.prox(z, y, gamma)

    def embed(self, y: Tensor) -> Tensor:
        """Enlarge `y`: repeat each pixel for box, interpolate bicubically otherwise."""
        return self.sampling.embed(y)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[-2]} x {shape[-1]}"
