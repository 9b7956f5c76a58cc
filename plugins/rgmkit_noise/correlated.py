"""Stationary Gaussian noise whose values are correlated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.fourier import widen
from rgmkit.core.noise import Noise
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_noise.arrays import read_array

LEAST = 1e-2  # relative to the mean power: the fidelity takes less as this


@final
class Correlated(Noise):
    """Stationary Gaussian noise, independent between channels: white noise that was filtered.

    Args:
        spectrum: the power spectrum S, an array (H, W) or the path of an .npy file with it: the variance
            `E |FFT(n)|^2 / (H W)` of each frequency of `numpy.fft.fft2`, whose mean is the variance of a pixel.
        kernel: in place of a spectrum, the filter, an array (h, w) or the path of an .npy file or a picture; the noise
            is its circular convolution with white noise.
        std: of a pixel. Default: as the spectrum says.

    Raises:
        ConfigError: unless one of spectrum and kernel is given, and `std` with a kernel; if the power is negative, not
            finite or 0 everywhere.
        DataError: if the file cannot be read.

    >>> noise = Correlated(kernel=np.ones((1, 2)), std=0.1)
    >>> noise.variance(torch.zeros(1, 1, 4, 4)).sqrt()
    tensor(0.1000)
    """

    correlated: ClassVar[bool] = True

    def __init__(
        self,
        *,
        spectrum: Path | Tensor | np.ndarray | None = None,
        kernel: Path | Tensor | np.ndarray | None = None,
        std: float | None = None,
    ) -> None:
        if (spectrum is None) == (kernel is None):
            raise ConfigError("noise correlated needs a spectrum or a kernel: give one of them")
        if (kernel is not None and std is None) or (std is not None and not 0 < std < math.inf):
            raise ConfigError(f"noise correlated: std is {std}: give the positive standard deviation of a pixel")
        self.spectrum, self.kernel, self.std = spectrum, kernel, std
        given, what = (spectrum, "spectrum") if kernel is None else (kernel, "kernel")
        self._array = read_array(given, f"noise correlated: {what}")  # type: ignore[arg-type]  # one of them is given
        finite = self._array.ndim == 2 and bool(self._array.isfinite().all()) and bool(self._array.any())
        if not finite or (kernel is None and bool((self._array < 0).any())):
            raise ConfigError(
                f"noise correlated: the {what} of shape {tuple(self._array.shape)} must be an array (H, W) of finite "
                f"numbers, a spectrum of 0 or more, not all 0"
            )

    def power(self, Ax: Tensor) -> Tensor:
        """Return the power spectrum (H, W) of a measurement (…, H, W), of half precision in float32.

        Raises:
            IncompatibleError: if the spectrum has another size, or the kernel is larger than the measurement.
        """
        size, own = tuple(Ax.shape[-2:]), tuple(self._array.shape)
        if Ax.ndim != 4 or (self.kernel is None and own != size) or own[0] > size[0] or own[1] > size[1]:
            what = "spectrum" if self.kernel is None else "kernel"
            raise IncompatibleError(
                f"noise correlated: the {what} has shape {own} and the measurement {tuple(Ax.shape[1:])}: give a "
                f"{what} for images of this size"
            )
        power = self._array if self.kernel is None else torch.fft.fft2(self._array, s=size).abs().square()
        mirrored = power.flip(0, 1).roll((1, 1), (0, 1))  # that of real noise is even
        power = (power + mirrored) / 2
        if self.std is not None:
            power = power * (self.std**2 / power.mean())
        return power.to(widen(Ax.real))

    def variance(self, Ax: Tensor) -> Tensor:
        """Return the variance of a pixel."""
        return self.power(Ax).mean().to(Ax.real)

    def whiten(self, residual: Tensor, Ax: Tensor) -> Tensor:
        """Divide each frequency by `sqrt(S)`; less than a hundredth of the mean of S is taken as this."""
        power = self.power(Ax)
        return _filter(residual, power.clamp(min=LEAST * float(power.mean())).rsqrt())

    def colour(self, white: Tensor, Ax: Tensor) -> Tensor:
        """Multiply each frequency by `sqrt(S)`."""
        return _filter(white, self.power(Ax).sqrt())


def _filter(x: Tensor, transfer: Tensor) -> Tensor:
    """Multiply each frequency of real or complex images by `transfer`, real and even."""
    filtered = torch.fft.ifft2(transfer * torch.fft.fft2(widen(x)))
    return filtered if x.is_complex() else filtered.real.to(x.dtype)
