"""Filtering and subsampling, with closed forms for adjoint, pseudo-inverse and prox."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from rgmkit.core.constants import cached_constant
from rgmkit.core.fourier import reciprocal, widen
from rgmkit.core.linear import per_image


@dataclass(frozen=True)
class Box:
    """Averages of factor x factor pixels: `A A^T = I / factor^2`, so that A^+ repeats each pixel."""

    factor: int

    def A(self, x: Tensor) -> Tensor:
        """Return the averages."""
        return avg_pool2d(widen(x), self.factor).to(x.dtype)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return each pixel repeated, divided by factor^2."""
        return self.embed(y) / self.factor**2

    def pinv(self, y: Tensor) -> Tensor:
        """Return each pixel repeated."""
        return self.embed(y)

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `z + gamma / (factor^2 + gamma) A^+ (y - A z)`."""
        g = per_image(gamma, z)
        return z + self.embed(g / (self.factor**2 + g) * (y - self.A(z)))

    def embed(self, y: Tensor) -> Tensor:
        """Return each pixel repeated."""
        return y.repeat_interleave(self.factor, -2).repeat_interleave(self.factor, -1)


@dataclass(frozen=True)
class Filtered:
    """A filter with a circular boundary, then every factor-th pixel.

    `F A x = fold(W F x)`, where fold averages the factor^2 frequencies that alias to the same one. So
    `A A^T` is circulant on the coarse grid, with the eigenvalues `fold(|W|^2)`, and
    `(I + gamma A^T A)^-1 = I - gamma A^T (I + gamma A A^T)^-1 A` costs two transforms.
    Source: Zhao et al., IEEE Trans. Image Processing, 2016.
    """

    factor: int
    filter: str

    def A(self, x: Tensor) -> Tensor:
        """Return the samples of the filtered image."""
        W = self._response(x.shape[-2], x.shape[-1], x).filter
        return _real(self._fold(W * _fft(x)), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Insert zeros between the samples, then apply the mirrored filter."""
        return self._spread(_fft(y), y)

    def pinv(self, y: Tensor) -> Tensor:
        """Return `A^T (A A^T)^+ y`."""
        power = self._coarse(y).power
        return self._spread(reciprocal(power) * _fft(y), y)

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `z + gamma A^T (I + gamma A A^T)^-1 (y - A z)`."""
        response, g = self._coarse(y), per_image(gamma, widen(z))
        residual = _fft(y) - self._fold(response.filter * _fft(z))
        return (widen(z) + self._spread(g * residual / (1 + g * response.power), widen(y))).to(z.dtype)

    def embed(self, y: Tensor) -> Tensor:
        """Interpolate bicubically about the centres of the pixels."""
        return interpolate(widen(y), scale_factor=float(self.factor), mode="bicubic").to(y.dtype)

    def _fold(self, spectrum: Tensor) -> Tensor:
        height, width = (n // self.factor for n in spectrum.shape[-2:])
        return spectrum.unflatten(-1, (self.factor, width)).unflatten(-3, (self.factor, height)).mean((-4, -2))

    def _spread(self, spectrum: Tensor, y: Tensor) -> Tensor:
        """Return `A^T` of the coarse image with this spectrum."""
        tiled = spectrum.tile(self.factor, self.factor)
        return _real(self._coarse(y).filter.conj() * tiled, y)

    def _coarse(self, y: Tensor) -> Response:
        return self._response(y.shape[-2] * self.factor, y.shape[-1] * self.factor, y)

    def _response(self, height: int, width: int, like: Tensor) -> Response:
        wide = widen(like)
        return response(self.filter, self.factor, height, width, wide.dtype, wide.device)


class Response(NamedTuple):
    """The spectrum W of a filter, (H, W) complex, and the eigenvalues of `A A^T`, on the coarse grid."""

    filter: Tensor
    power: Tensor


@cached_constant(maxsize=8)
def response(name: str, factor: int, height: int, width: int, dtype: torch.dtype, device: torch.device) -> Response:
    """Return the response of a filter on images of a size, computed in float64."""
    lines = [_line(name, factor, size) for size in (height, width)]
    powers = [np.square(np.abs(line)).reshape(factor, -1).mean(0) for line in lines]
    spectrum, power = np.multiply.outer(*lines), np.multiply.outer(*powers)
    return Response(
        torch.from_numpy(spectrum).to(dtype=dtype.to_complex(), device=device),
        torch.from_numpy(power).to(dtype=dtype, device=device),
    )


def _line(name: str, factor: int, size: int) -> np.ndarray:
    """Return the spectrum of the filter, as a correlation, along one axis."""
    first, taps = FILTERS[name](factor)
    wrapped = np.zeros(size)
    np.add.at(wrapped, np.arange(first, first + len(taps)) % size, taps)
    return np.fft.fft(wrapped).conj()


def _fft(x: Tensor) -> Tensor:
    return torch.fft.fft2(widen(x))


def _real(spectrum: Tensor, like: Tensor) -> Tensor:
    return torch.fft.ifft2(spectrum).real.to(like.dtype)


Taps = tuple[int, np.ndarray]
"""Index of the first tap, counted from the first fine pixel of a coarse one, and the taps in float64."""


def gaussian(factor: int) -> Taps:
    """Return a Gaussian of std `sqrt(factor^2 - 1) / 2` fine pixels, truncated at 4 std.

    If the fine image is a scene blurred with a std of half a fine pixel, the coarse image is the scene blurred with
    a std of half a coarse pixel.
    """
    std = math.sqrt(factor**2 - 1) / 2
    return _centred(factor, 4 * std, lambda u: np.exp(-0.5 * np.square(u / std)) if std else np.ones_like(u))


def bicubic(factor: int) -> Taps:
    """Return Keys' cubic (a = -1/2) stretched by the factor, as Pillow and MATLAB use it to shrink images.

    Source: Keys, IEEE Trans. Acoustics, Speech, and Signal Processing, 1981.
    """
    return _centred(factor, 2 * factor, lambda u: keys(np.abs(u) / factor))


def keys(u: np.ndarray) -> np.ndarray:
    """Return the cubic convolution kernel with a = -1/2 at distances `u >= 0`."""
    near = 1 + u**2 * (1.5 * u - 2.5)
    far = 2 + u * (-4 + u * (2.5 - 0.5 * u))
    return np.where(u < 1, near, np.where(u < 2, far, 0))


FILTERS: dict[str, Callable[[int], Taps]] = {"gaussian": gaussian, "bicubic": bicubic}


def _centred(factor: int, reach: float, response: Callable[[np.ndarray], np.ndarray]) -> Taps:
    """Sample `response` within `reach` of the centre of a coarse pixel, and normalise it to sum 1."""
    centre = (factor - 1) / 2
    first = math.ceil(centre - reach)
    values = response(np.arange(first, factor - first) - centre)
    return first, values / values.sum()
