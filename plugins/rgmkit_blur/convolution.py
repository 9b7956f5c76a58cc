"""Convolution with a kernel."""

from __future__ import annotations

from abc import ABC
from typing import get_args

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn.functional import pad

from rgmkit.core.constants import cached_constant
from rgmkit.core.degradation import Degradation
from rgmkit.core.fourier import reciprocal, widen
from rgmkit.core.linear import per_image
from rgmkit.core.noise import NoiseLike
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_blur.borders import Boundary, extend, fold
from rgmkit_blur.cosine import dct2, idct2
from rgmkit_blur.kernels import Kernel, is_symmetric


class Convolution(Degradation, ABC):
    """`y = k * x + noise * e`: convolution of each channel with a kernel k that sums to 1.

    The operator, its prox and its pseudo-inverse are diagonal in the Fourier domain with a circular boundary, and in
    the domain of the cosine transform with `reflect` if the kernel is symmetric in each axis. The pseudo-inverse is 0
    at the frequencies with `|K| <= sqrt(eps)` (3.5e-4 in float32, 1.5e-8 in float64). Otherwise the adjoint is exact,
    and prox and pinv are computed by conjugate gradients.

    Subclasses choose the kernel.

    Args:
        taps: the kernel k.
        boundary: how the image is extended beyond its border. `circular`: periodically; `reflect`: about the edge of
            the outermost pixel, `mirror`: about its centre; `replicate`: by copies of it. With `valid` it is not:
            only the pixels are measured at which the whole kernel lies within the image, so that y is smaller.
        noise: standard deviation of the noise, in units of the [0, 1] image.
    """

    def __init__(self, *, taps: Kernel, boundary: Boundary, noise: NoiseLike) -> None:
        super().__init__(noise=noise)
        if boundary not in get_args(Boundary):
            raise ConfigError(f"boundary is {boundary!r}: give {', '.join(get_args(Boundary))}")
        self.taps, self.boundary = taps, boundary

    def A(self, x: Tensor) -> Tensor:
        """Return `k * x`, each channel on its own.

        Raises:
            IncompatibleError: if the boundary is valid and the image smaller than the kernel.
        """
        if self.has_closed_form_prox:
            return self._invert(self._transfer(x) * self._transform(x), x)
        wide, (rows, columns) = widen(x), self.taps.radius
        if self.boundary == "valid":
            self._check_size(x.shape[-2:])
        else:
            wide = extend(wide, self.taps.radius, self.boundary)
        # the Fourier transform wraps around: only the margin is affected, and it is cut off
        blurred = _convolve(wide, self.taps)
        return blurred[..., rows : blurred.shape[-2] - rows, columns : blurred.shape[-1] - columns].to(x.dtype)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `A^T y`: with a circular boundary the convolution with the kernel turned by 180 degrees."""
        if self.has_closed_form_prox:
            return self._invert(self._transfer(y).conj() * self._transform(y), y)
        rows, columns = self.taps.radius
        wide = pad(widen(y), (columns, columns, rows, rows))
        spread = _convolve(wide, self.taps, turned=True)
        return (spread if self.boundary == "valid" else fold(spread, self.taps.radius, self.boundary)).to(y.dtype)

    def pinv(self, y: Tensor) -> Tensor:
        """Return `A^+ y`: `F^-1 (F y / K)` where `|K| > sqrt(eps)`, else 0, with F as in `prox`."""
        if not self.has_closed_form_prox:
            return super().pinv(widen(y)).to(y.dtype)
        K = self._transfer(y)
        return self._invert(K.conj() * reciprocal(K.abs().square()) * self._transform(y), y)

    @property
    def has_closed_form_prox(self) -> bool:
        """Whether the boundary is circular, or `reflect` with a symmetric kernel."""
        return self.boundary == "circular" or (self.boundary == "reflect" and is_symmetric(self.taps))

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `F^-1 [(F z + gamma conj(K) F y) / (1 + gamma |K|^2)]`, with the Fourier or cosine transform F."""
        if not self.has_closed_form_prox:
            return super().prox(widen(z), widen(y), gamma).to(z.dtype)
        K, g = self._transfer(z), per_image(gamma, widen(z))
        spectrum = (self._transform(z) + g * K.conj() * self._transform(y)) / (1 + g * K.abs().square())
        return self._invert(spectrum, z)

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of `y`; with the boundary `valid` a margin is added, half the kernel wide."""
        if self.boundary != "valid":
            return tuple(y_shape)
        rows, columns = self.taps.radius
        return *y_shape[:-2], y_shape[-2] + 2 * rows, y_shape[-1] + 2 * columns

    def embed(self, y: Tensor) -> Tensor:
        """Return `y`; with the boundary `valid` it is reflected into the margin."""
        return extend(y, self.taps.radius, "reflect") if self.boundary == "valid" else y

    def _check_size(self, size: torch.Size) -> None:
        if any(side <= 2 * radius for side, radius in zip(size, self.taps.radius, strict=True)):
            raise IncompatibleError(
                f"blur: the kernel has {self.taps.shape[0]} x {self.taps.shape[1]} pixels and the image {size[0]} x "
                f"{size[1]} (height x width): with boundary=valid the image must be larger; use a smaller kernel, or "
                f"boundary=reflect"
            )

    def _transform(self, x: Tensor) -> Tensor:
        return torch.fft.rfft2(widen(x)) if self.boundary == "circular" else dct2(x)

    def _invert(self, X: Tensor, like: Tensor) -> Tensor:
        x = torch.fft.irfft2(X, s=like.shape[-2:]) if self.boundary == "circular" else idct2(X)
        return x.to(like.dtype)

    def _transfer(self, x: Tensor) -> Tensor:
        of = transfer if self.boundary == "circular" else cosine_transfer
        return of(self.taps, x.shape[-2:], widen(x).dtype, x.device)


def _convolve(x: Tensor, kernel: Kernel, *, turned: bool = False) -> Tensor:
    """Convolve with a kernel, or the kernel turned by 180 degrees, at a size that the Fourier transform likes."""
    height, width = x.shape[-2:]
    size = next_fast_len(height, real=True), next_fast_len(width, real=True)
    K = transfer(kernel, size, x.dtype, x.device)
    spectrum = torch.fft.rfft2(x, s=size) * (K.conj() if turned else K)
    return torch.fft.irfft2(spectrum, s=size)[..., :height, :width]


@cached_constant(maxsize=8)  # the levels of a process, or 8 large images
def transfer(kernel: Kernel, size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return `K`, the half spectrum of a kernel on an image of (height, width): (height, width // 2 + 1) complex."""
    height, width = size
    wrapped = np.zeros((height, width))
    rows, columns = (np.arange(n) - n // 2 for n in kernel.shape)
    np.add.at(wrapped, np.ix_(rows % height, columns % width), kernel.taps)
    K = torch.from_numpy(np.fft.rfft2(wrapped))
    return K.to(dtype=dtype.to_complex(), device=device)


@cached_constant(maxsize=8)
def cosine_transfer(kernel: Kernel, size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return `K`, the factors of the cosine transform under convolution with a symmetric kernel: (height, width)."""
    C, D = (
        np.cos(np.pi * np.outer(np.arange(side), np.arange(n) - n // 2) / side)
        for side, n in zip(size, kernel.shape, strict=True)
    )
    return torch.from_numpy(C @ kernel.taps @ D.T).to(dtype=dtype, device=device)
