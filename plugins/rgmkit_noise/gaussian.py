"""Independent Gaussian noise whose std differs from channel to channel, or from pixel to pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.bounds import Bounds
from rgmkit.core.noise import Noise
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_noise.arrays import read_array


@final
class PerChannel(Noise):
    """Gaussian noise with a standard deviation for each channel of the measurement.

    Args:
        std: of each channel, 0 or more; `inf` for a channel that says nothing.

    Raises:
        ConfigError: if a value is negative or all are infinite.

    >>> PerChannel(std=(0.1, 0.2)).variance(torch.zeros(1, 2, 4, 4)).flatten()
    tensor([0.0100, 0.0400])
    """

    def __init__(self, *, std: tuple[Annotated[float, Bounds(ge=0, finite=False)], ...]) -> None:
        self.std = tuple(std)
        self._map = _check_stds(torch.tensor(self.std, dtype=torch.float64))

    def variance(self, Ax: Tensor) -> Tensor:
        """Return the variance of each channel, (1, C, 1, …).

        Raises:
            IncompatibleError: if the measurement has another number of channels.
        """
        if Ax.ndim < 2 or Ax.shape[1] != len(self.std):
            raise IncompatibleError(
                f"noise per-channel has {len(self.std)} stds and the measurement has shape {tuple(Ax.shape)}: "
                f"give a std for each channel"
            )
        return self._map.reshape(-1, *[1] * (Ax.ndim - 2)).to(Ax.real).square()[None]


@final
class PerPixel(Noise):
    """Gaussian noise with a standard deviation for each value of the measurement.

    Args:
        std: the map of stds, 0 or more, as an array (H, W) or (C, H, W), or the path of an .npy file or a picture with
            it; `inf` for a dead pixel, which counts for nothing.

    Raises:
        ConfigError: if a value is negative or NaN, or all are infinite.
        DataError: if the file cannot be read.

    >>> noise = PerPixel(std=np.array([[0.1, np.inf]]))
    >>> noise.whiten(torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
    tensor([[[[10.,  0.]]]])
    """

    def __init__(self, *, std: Path | Tensor | np.ndarray) -> None:
        self.std = std
        self._map = _check_stds(read_array(std, "noise per-pixel: std"))

    def variance(self, Ax: Tensor) -> Tensor:
        """Return the variance of each value, (1, …).

        Raises:
            IncompatibleError: if the map does not have the shape of the measurement.
        """
        shape, own = tuple(Ax.shape[1:]), tuple(self._map.shape)
        if own not in (shape, shape[1:]):
            raise IncompatibleError(
                f"noise per-pixel: the map has shape {own} and the measurement {shape}: give a std for each pixel"
            )
        return self._map.to(Ax.real).square().expand(shape)[None]


def _check_stds(std: Tensor) -> Tensor:
    """Return stds, after checking them."""
    if not bool((std >= 0).all()):
        raise ConfigError("a std is negative or NaN: give 0 or more, or inf where a value says nothing")
    if not bool(std.isfinite().any()):
        raise ConfigError("no std is finite, so that the measurement says nothing: give a finite one")
    return std
