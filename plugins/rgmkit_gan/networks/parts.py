"""What networks share: the linear estimate, convolutions, Fourier features, sizes, and the precision of sums."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from rgmkit.core.process import ForwardProcess, interpolate_levels
from rgmkit.errors import ConfigError


class Correction(nn.Module):
    """`x_hat = a_{t+1} y + error_{t+1} u`: the best linear estimate for data of unit variance, plus a correction.

    The linear estimate is close to the result at low levels and vanishes at level T, while the correction `u` has unit
    size at all levels.

    Args:
        process: its gains `a_by_level`, and the errors `error_by_level` of the linear estimate.
    """

    a: Tensor
    sigma: Tensor
    error: Tensor

    def __init__(self, process: ForwardProcess) -> None:
        super().__init__()
        self.register_buffer("a", process.a_by_level[1:].clone(), persistent=False)
        self.register_buffer("sigma", process.sigma_by_level[1:].clone(), persistent=False)
        self.register_buffer("error", process.error_by_level[1:].clone(), persistent=False)

    def forward(self, y: Tensor, u: Tensor, t: Tensor) -> Tensor:
        """Return `x_hat` for the input `y` and the correction `u`; t may lie between two levels."""
        shape = (-1, *[1] * (y.ndim - 1))
        a, sigma = self.at(t)
        error = sigma if t.is_floating_point() else self.error[t]
        return a.view(shape) * y + error.view(shape) * u

    def at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return `a` and `sigma` of level t + 1, (B,); t may lie between two levels."""
        return interpolate_levels(self.a, self.sigma, t) if t.is_floating_point() else (self.a[t], self.sigma[t])


def first_axis(image_shape: tuple[int, ...], *, axes: int, network: str) -> int:
    """Return the channels of images (C, H, W), or the dimension of points (d,).

    Raises:
        ConfigError: if the shape has another number of axes.
    """
    if len(image_shape) != axes:
        kinds = {1: "points (d,)", 3: "images (C, H, W)"}
        raise ConfigError(f"{network} is a network for {kinds[axes]}, and the data has shape {tuple(image_shape)}")
    return image_shape[0]


def fourier_features(x: Tensor, octaves: int) -> Tensor:
    """Append `sin` and `cos` of `2^k pi x / 2`, k = 0 … octaves - 1, to `x` along dimension 1."""
    if octaves == 0:
        return x
    frequencies = torch.pi / 2 * 2 ** torch.arange(octaves, dtype=x.dtype, device=x.device)
    angles = (x[:, None] * frequencies[:, None]).flatten(1, 2)
    return torch.cat([x, angles.sin(), angles.cos()], dim=1)


def conv(inputs: int, outputs: int, size: int = 3, *, gain: float = 1.0, stride: int = 1) -> nn.Conv2d:
    """Make a convolution that keeps the size, up to its stride, with weights N(0, gain^2 / fan_in) and bias 0."""
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
    nn.init.normal_(layer.weight, std=gain / (inputs * size * size) ** 0.5)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def pad_to_multiple(y: Tensor, multiple: int) -> Tensor:
    """Pad `y` on the right and below to multiples, by reflection, or by repetition if it is too small.

    >>> pad_to_multiple(torch.zeros(1, 1, 5, 8), 4).shape
    torch.Size([1, 1, 8, 8])
    """
    below, right = -y.shape[-2] % multiple, -y.shape[-1] % multiple
    if not (below or right):
        return y
    mode = "reflect" if below < y.shape[-2] and right < y.shape[-1] else "replicate"
    return pad(y, (0, right, 0, below), mode=mode)


def promote_half(dtype: torch.dtype) -> torch.dtype:
    """Return float32 for half precision, else the same.

    >>> promote_half(torch.bfloat16), promote_half(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)
