"""What `ncsnpp` is made of. Attributes bear the published names, under which the weights are stored."""

from __future__ import annotations

import math
from typing import TypeVar, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from rgmkit.errors import ConfigError
from rgmkit_gan.networks.ncsnpp.modulation import EPS, modulated, normalised
from rgmkit_gan.networks.ncsnpp.resampling import Resampler
from rgmkit_gan.networks.rounding import precise

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

NEARLY_ZERO = 1e-5  # gain of the layers that end a branch: at the start, a block is its skip


def conv(inputs: int, outputs: int, size: int = 3, *, gain: float = 1.0) -> nn.Conv2d:
    """A convolution that keeps the size, started as `started` says."""
    return started(nn.Conv2d(inputs, outputs, size, padding=size // 2), gain=gain)


def dense(inputs: int, outputs: int) -> nn.Linear:
    """A dense layer, started as `started` says."""
    return started(nn.Linear(inputs, outputs))


def started(layer: Layer, *, gain: float = 1.0) -> Layer:
    """`layer` with uniform weights of variance `2 gain^2 / (fan in + fan out)`, no bias (Glorot and Bengio 2010)."""
    nn.init.xavier_uniform_(layer.weight, gain)
    return _unbiased(layer)


def started_by_outputs(layer: Layer, *, gain: float = 1.0) -> Layer:
    """`layer` with uniform weights of variance `gain^2 / fan out`, no bias: the start of styles and discriminators."""
    nn.init.kaiming_uniform_(layer.weight, mode="fan_out", nonlinearity="linear")
    with torch.no_grad():
        layer.weight *= gain
    return _unbiased(layer)


def _unbiased(layer: Layer) -> Layer:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def groups(channels: int) -> int:
    """The groups that so many channels are normalised in: one for four channels, 32 at most.

    Raises:
        ConfigError: if they do not divide the channels.
    """
    number = min(channels // 4, 32)
    if number == 0 or channels % number:
        raise ConfigError(
            f"width and multipliers give a layer of {channels} channels, which {number} groups do not divide: "
            f"take a width that is a multiple of 4, or of 32 above 128 channels"
        )
    return number


def joined(skip: Tensor, inner: Tensor) -> Tensor:
    """`(skip + inner) / sqrt 2`, rounded once."""
    exact = skip.to(precise(skip.dtype))
    total = exact + inner if exact is skip else exact.add_(inner)
    return total.mul_(1 / math.sqrt(2)).to(skip.dtype)


def sinusoidal(t: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """`sin(t f_i)`, then `cos(t f_i)`, with `f_i = 10000^(-i/(width/2 - 1))`: (B, width) (Vaswani et al. 2017)."""
    i = torch.arange(width // 2, device=t.device, dtype=precise(dtype))
    angles = t.to(i)[:, None] * torch.exp(-math.log(10_000) * i / (width // 2 - 1))
    return torch.cat([angles.sin(), angles.cos()], dim=1).to(dtype)


@final
class PixelNorm(nn.Module):
    """`z` over its root mean square."""

    def forward(self, z: Tensor) -> Tensor:
        """(B, d) to (B, d)."""
        return z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()


@final
class AdaptiveGroupNorm(nn.Module):
    """`silu(gamma * norm(h) + beta)`, both from the style; gamma starts near 1."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.groups, self.style = groups(channels), started_by_outputs(nn.Linear(style, 2 * channels))
        with torch.no_grad():
            self.style.bias[:channels] = 1

    def forward(self, h: Tensor, style: Tensor) -> Tensor:
        """Features `h` (B, C, H, W), a style (B, d) for each image."""
        gamma, beta = self.style(style).chunk(2, 1)
        return modulated(h, self.groups, gamma, beta)


@final
class NIN(nn.Module):
    """A dense layer on each pixel, `h W + b`, on (B, pixels, C)."""

    def __init__(self, channels: int, *, gain: float) -> None:
        super().__init__()
        self.W = nn.Parameter(nn.init.xavier_uniform_(torch.empty(channels, channels), gain))
        self.b = nn.Parameter(torch.zeros(channels))

    def forward(self, h: Tensor) -> Tensor:
        """(B, pixels, C) to the same shape."""
        return linear(h, self.W.T, self.b)


@final
class Attention(nn.Module):
    """`(h + dense(softmax(q k^T / sqrt C) v)) / sqrt 2` over the pixels of each image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.GroupNorm_0 = nn.GroupNorm(groups(channels), channels, eps=EPS)
        self.NIN_0, self.NIN_1, self.NIN_2 = (NIN(channels, gain=0.1**0.5) for _ in range(3))
        self.NIN_3 = NIN(channels, gain=NEARLY_ZERO)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        norm = self.GroupNorm_0
        pixels = normalised(h, norm.num_groups, norm.weight, norm.bias).flatten(2).transpose(1, 2)
        seen = scaled_dot_product_attention(self.NIN_0(pixels), self.NIN_1(pixels), self.NIN_2(pixels))
        return joined(h, self.NIN_3(seen).transpose(1, 2).reshape(h.shape))


class Block(nn.Module):
    """A residual block with z in its norms (Brock et al. 2019); subclasses change the resolution on the way."""

    resizes = False

    def __init__(
        self, inputs: int, outputs: int, *, level: int, style: int, dropout: float, resampler: Resampler
    ) -> None:
        super().__init__()
        self.GroupNorm_0 = AdaptiveGroupNorm(inputs, style)
        self.Conv_0 = conv(inputs, outputs)
        self.Dense_0 = dense(level, outputs)
        self.GroupNorm_1 = AdaptiveGroupNorm(outputs, style)
        self.Dropout_0 = nn.Dropout(dropout)
        self.Conv_1 = conv(outputs, outputs, gain=NEARLY_ZERO)
        if self.resizes or inputs != outputs:
            self.Conv_2 = conv(inputs, outputs, 1)
        self.resampler = resampler

    def resize(self, h: Tensor) -> Tensor:
        """The resolution stays."""
        return h

    def forward(self, h: Tensor, level: Tensor, style: Tensor) -> Tensor:
        """Features `h` (B, C, H, W); the activated embedding of the level and the style, (B, d) each."""
        inner = self.Conv_0(self.resize(self.GroupNorm_0(h, style)))
        inner += self.Dense_0(level)[:, :, None, None]
        inner = self.Conv_1(self.Dropout_0(self.GroupNorm_1(inner, style)))
        skip = self.resize(h)
        skip = self.Conv_2(skip) if hasattr(self, "Conv_2") else skip
        return joined(skip, inner)


@final
class DownBlock(Block):
    """A block that halves the resolution."""

    resizes = True

    def resize(self, h: Tensor) -> Tensor:
        """Half the resolution."""
        return self.resampler.down(h)


@final
class UpBlock(Block):
    """A block that doubles the resolution."""

    resizes = True

    def resize(self, h: Tensor) -> Tensor:
        """Twice the resolution."""
        return self.resampler.up(h)


@final
class PyramidStep(nn.Module):
    """The input pyramid, one scale further down: a filter and a 3x3 convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int, *, resampler: Resampler) -> None:
        super().__init__()
        self.add_module(resampler.strided, started(nn.Conv2d(inputs, outputs, 3, stride=2)))
        self.resampler = resampler

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, H, W) to half the resolution."""
        strided = self.get_submodule(self.resampler.strided)
        out: Tensor = strided(self.resampler.before_stride(h))
        return out
