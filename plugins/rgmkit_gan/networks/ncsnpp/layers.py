"""The layers of `ncsnpp`; attributes have the published names, under which the weights are stored."""

from __future__ import annotations

import math
from typing import Literal, TypeVar, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from rgmkit.errors import ConfigError
from rgmkit_gan.networks.ncsnpp.modulation import EPS, modulate, normalise_groups
from rgmkit_gan.networks.ncsnpp.resampling import FIR, Plain
from rgmkit_gan.networks.parts import promote_half

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

NEARLY_ZERO = 1e-5  # gain of the layers that end a branch: initially a block is its skip connection


def conv(inputs: int, outputs: int, size: int = 3, *, gain: float = 1.0) -> nn.Conv2d:
    """Make a convolution that keeps the size, initialised by `initialise`."""
    return initialise(nn.Conv2d(inputs, outputs, size, padding=size // 2), gain=gain)


def dense(inputs: int, outputs: int) -> nn.Linear:
    """Make a dense layer, initialised by `initialise`."""
    return initialise(nn.Linear(inputs, outputs))


def initialise(layer: Layer, *, gain: float = 1.0) -> Layer:
    """Draw uniform weights of variance `2 gain^2 / (fan in + fan out)`, set the bias to 0 (Glorot and Bengio 2010)."""
    nn.init.xavier_uniform_(layer.weight, gain)
    return _zero_bias(layer)


def initialise_by_outputs(layer: Layer, *, gain: float = 1.0) -> Layer:
    """Draw uniform weights of variance `gain^2 / fan out` and set the bias to 0, for styles and discriminators."""
    nn.init.kaiming_uniform_(layer.weight, mode="fan_out", nonlinearity="linear")
    with torch.no_grad():
        layer.weight *= gain
    return _zero_bias(layer)


def _zero_bias(layer: Layer) -> Layer:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def count_groups(channels: int) -> int:
    """Return the number of groups in which channels are normalised: one for four channels, at most 32.

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


def join(skip: Tensor, inner: Tensor) -> Tensor:
    """Return `(skip + inner) / sqrt 2`, rounded once."""
    exact = skip.to(promote_half(skip.dtype))
    total = exact + inner if exact is skip else exact.add_(inner)
    return total.mul_(1 / math.sqrt(2)).to(skip.dtype)


def embed_level(t: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Return `sin(t f_i)` and `cos(t f_i)`, `f_i = 10000^(-i/(width/2 - 1))`: (B, width) (Vaswani et al. 2017)."""
    i = torch.arange(width // 2, device=t.device, dtype=promote_half(dtype))
    angles = t.to(i)[:, None] * torch.exp(-math.log(10_000) * i / (width // 2 - 1))
    return torch.cat([angles.sin(), angles.cos()], dim=1).to(dtype)


@final
class PixelNorm(nn.Module):
    """Divide `z` by its root mean square."""

    def forward(self, z: Tensor) -> Tensor:
        """Normalise `z`, (B, d)."""
        return z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()


@final
class AdaptiveGroupNorm(nn.Module):
    """`silu(gamma * norm(h) + beta)`, gamma and beta from the style; gamma is initially near 1."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.groups, self.style = count_groups(channels), initialise_by_outputs(nn.Linear(style, 2 * channels))
        with torch.no_grad():
            self.style.bias[:channels] = 1

    def forward(self, h: Tensor, style: Tensor) -> Tensor:
        """Modulate features `h` (B, C, H, W) by a style (B, d)."""
        gamma, beta = self.style(style).chunk(2, 1)
        return modulate(h, self.groups, gamma, beta)


@final
class NIN(nn.Module):
    """A dense layer on each pixel, `h W + b`, on (B, pixels, C)."""

    def __init__(self, channels: int, *, gain: float) -> None:
        super().__init__()
        self.W = nn.Parameter(nn.init.xavier_uniform_(torch.empty(channels, channels), gain))
        self.b = nn.Parameter(torch.zeros(channels))

    def forward(self, h: Tensor) -> Tensor:
        """Apply the layer to (B, pixels, C)."""
        return linear(h, self.W.T, self.b)


@final
class Attention(nn.Module):
    """`(h + dense(softmax(q k^T / sqrt C) v)) / sqrt 2` over the pixels of each image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.GroupNorm_0 = nn.GroupNorm(count_groups(channels), channels, eps=EPS)
        self.NIN_0, self.NIN_1, self.NIN_2 = (NIN(channels, gain=0.1**0.5) for _ in range(3))
        self.NIN_3 = NIN(channels, gain=NEARLY_ZERO)

    def forward(self, h: Tensor) -> Tensor:
        """Attend over the pixels of `h`, (B, C, H, W)."""
        norm = self.GroupNorm_0
        pixels = normalise_groups(h, norm.num_groups, norm.weight, norm.bias).flatten(2).transpose(1, 2)
        attended = scaled_dot_product_attention(self.NIN_0(pixels), self.NIN_1(pixels), self.NIN_2(pixels))
        return join(h, self.NIN_3(attended).transpose(1, 2).reshape(h.shape))


@final
class Block(nn.Module):
    """A residual block whose norms are modulated by z (Brock et al. 2019).

    Args:
        inputs, outputs: channels.
        level, style: widths of the embedding of the level, and of the style.
        dropout: fraction of the features that is dropped in training.
        resampler: changes the resolution.
        resize: "down" or "up" to halve or double it; None to keep it.
    """

    def __init__(
        self, inputs: int, outputs: int, *, level: int, style: int, dropout: float, resampler: FIR | Plain,
        resize: Literal["down", "up"] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.GroupNorm_0 = AdaptiveGroupNorm(inputs, style)
        self.Conv_0 = conv(inputs, outputs)
        self.Dense_0 = dense(level, outputs)
        self.GroupNorm_1 = AdaptiveGroupNorm(outputs, style)
        self.Dropout_0 = nn.Dropout(dropout)
        self.Conv_1 = conv(outputs, outputs, gain=NEARLY_ZERO)
        if resize or inputs != outputs:
            self.Conv_2 = conv(inputs, outputs, 1)
        self.resampler, self.resize = resampler, resize

    def forward(self, h: Tensor, level: Tensor, style: Tensor) -> Tensor:
        """Apply the block to features `h` (B, C, H, W), with the embedding of the level and the style, (B, d) each."""
        inner = self.GroupNorm_0(h, style)
        if self.resize:
            h, inner = (getattr(self.resampler, self.resize)(features) for features in (h, inner))
        inner = self.Conv_0(inner)
        inner += self.Dense_0(level)[:, :, None, None]
        inner = self.Conv_1(self.Dropout_0(self.GroupNorm_1(inner, style)))
        return join(self.Conv_2(h) if hasattr(self, "Conv_2") else h, inner)


@final
class PyramidStep(nn.Module):
    """One step of the input pyramid: a filter and a 3x3 convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int, *, resampler: FIR | Plain) -> None:
        super().__init__()
        self.add_module(resampler.strided, initialise(nn.Conv2d(inputs, outputs, 3, stride=2)))
        self.resampler = resampler

    def forward(self, h: Tensor) -> Tensor:
        """Halve the resolution of `h`, (B, C, H, W)."""
        strided = self.get_submodule(self.resampler.strided)
        out: Tensor = strided(self.resampler.before_stride(h))
        return out
