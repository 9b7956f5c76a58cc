"""Convolution with a kernel."""

from __future__ import annotations

from abc import ABC
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from rgmkit.core.constants import cached_constant
from rgmkit.core.degradation import Degradation
from rgmkit.core.fourier import reciprocal, widen
from rgmkit.core.linear import per_image
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_blur.kernels import Kernel

Boundary = Literal["circular", "reflect", "replicate"]


class Convolution(Degradation, ABC):
    """`y = k * x + noise * e`: convolution of each channel with a kernel k that sums to 1.

    With a circular boundary the operator, its prox and its pseudo-inverse are diagonal in the Fourier domain.
    The pseudo-inverse is 0 at the frequencies with `|K| <= sqrt(eps)` (3.5e-4 in
    float32, 1.5e-8 in float64). With `reflect` (about the centre of the outermost pixel) and `replicate`
    the adjoint is exact, and prox and pinv are computed by conjugate gradients.

    Subclasses choose the kernel.

    Args:
        taps: the kernel k.
        boundary: how the image is extended beyond its border: circular, reflect or replicate.
        noise: standard deviation of the noise, in units of the [0, 1] image.
    """

    def __init__(self, *, taps: Kernel, boundary: Boundary, noise: float | None) -> None:
        super().__init__(noise=noise)
        if boundary not in get_args(Boundary):
            raise ConfigError(f"boundary is {boundary!r}: give {', '.join(get_args(Boundary))}")
        self.taps, self.boundary = taps, boundary

    def A(self, x: Tensor) -> Tensor:
        """Return `k * x`, each channel on its own.

        Raises:
            IncompatibleError: if the boundary is reflect and half the kernel is wider than the image.
        """
        if self.boundary == "circular":
            return self._multiply(x, self._transfer(x))
        rows, columns = self.taps.radius
        height, width = x.shape[-2:]
        if self.boundary == "reflect" and (rows >= height or columns >= width):
            raise IncompatibleError(
                f"blur: a kernel of {self.taps.shape[0]} x {self.taps.shape[1]} pixels reaches {rows} x {columns} "
                f"pixels beyond the border, more than reflection can extend an image of {height} x {width}: use a "
                f"smaller kernel, or boundary=replicate or circular"
            )
        # the Fourier transform wraps around: only the margin is affected, and it is cut off
        padded = pad(widen(x), (columns, columns, rows, rows), mode=self.boundary)
        blurred = self._multiply(padded, self._transfer(padded))
        return blurred[..., rows : rows + height, columns : columns + width].to(x.dtype)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `A^T y`: with a circular boundary the convolution with the kernel turned by 180 degrees."""
        if self.boundary != "circular":
            return super().adjoint(y)
        return self._multiply(y, self._transfer(y).conj())

    def pinv(self, y: Tensor) -> Tensor:
        """Return `A^+ y`: with a circular boundary `F^-1 (F y / K)` where `|K| > sqrt(eps)`, else 0."""
        if self.boundary != "circular":
            return super().pinv(widen(y)).to(y.dtype)
        K = self._transfer(y)
        return self._multiply(y, K.conj() * reciprocal(K.abs().square()))

    @property
    def has_closed_form_prox(self) -> bool:
        """Whether the boundary is circular."""
        return self.boundary == "circular"

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `F^-1 [(F z + gamma conj(K) F y) / (1 + gamma |K|^2)]` with a circular boundary."""
        if self.boundary != "circular":
            return super().prox(widen(z), widen(y), gamma).to(z.dtype)
        K, g = self._transfer(z), per_image(gamma, widen(z))
        spectrum = (_rfft(z) + g * K.conj() * _rfft(y)) / (1 + g * K.abs().square())
        return torch.fft.irfft2(spectrum, s=z.shape[-2:]).to(z.dtype)

    def _transfer(self, x: Tensor) -> Tensor:
        wide = widen(x)
        return transfer(self.taps, x.shape[-2], x.shape[-1], wide.dtype, wide.device)

    def _multiply(self, x: Tensor, K: Tensor) -> Tensor:
        return torch.fft.irfft2(K * _rfft(x), s=x.shape[-2:]).to(x.dtype)


def _rfft(x: Tensor) -> Tensor:
    return torch.fft.rfft2(widen(x))


@cached_constant(maxsize=8)  # the levels of a process, or 8 large images
def transfer(kernel: Kernel, height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return `K`, the half spectrum of a kernel on an image of a size: (height, width // 2 + 1) complex."""
    wrapped = np.zeros((height, width))
    rows, columns = (np.arange(n) - n // 2 for n in kernel.shape)
    np.add.at(wrapped, np.ix_(rows % height, columns % width), kernel.taps)
    K = torch.from_numpy(np.fft.rfft2(wrapped))
    return K.to(dtype=dtype.to_complex(), device=device)
