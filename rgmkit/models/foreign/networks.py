"""Denoisers `D(x, std)` on images in [0, 1], for which no library has the network or the way to call it."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from rgmkit.core.linear import per_image
from rgmkit.core.locality import Locality

COLUMNS_FIRST = (0, 2, 1, 3)  # order in which MATLAB takes the 2 x 2 sub-images


@final
class FFDNet(nn.Module):
    """Convolutions of the four sub-images of each channel and a map of the noise std.

    Source: Zhang, Zuo and Zhang, "FFDNet", 2018.

    Args:
        convolutions: with ReLU between them.
        columns_first: whether the sub-images are in the order of the MATLAB release.
    """

    def __init__(self, convolutions: nn.Sequential, *, columns_first: bool) -> None:
        super().__init__()
        self.convolutions, self.columns_first = convolutions, columns_first
        depth, width = find_size(convolutions)
        self.locality = Locality(receptive_field=4 * depth + 3, multiple=2, floats_per_pixel=width / 2 + 16)

    def forward(self, x: Tensor, std: Tensor) -> Tensor:
        """Denoise `x`, (B, C, H, W), with noise of `std`, (B,)."""
        channels, height, width = x.shape[1:]
        order = [4 * c + k for c in range(channels) for k in (COLUMNS_FIRST if self.columns_first else range(4))]
        parts = pixel_unshuffle(pad(x, (0, width % 2, 0, height % 2), mode="replicate"), 2)[:, order]
        parts = torch.cat([parts, per_image(std, parts).expand_as(parts[:, :1])], 1)
        parts = self.convolutions(parts.contiguous(memory_format=torch.channels_last))
        return pixel_shuffle(parts[:, order], 2)[..., :height, :width]


@final
class WithNoiseMap(nn.Module):
    """A network that takes the image and a map of the noise std, such as DRUNet."""

    def __init__(self, network: nn.Module, *, multiple: int = 1, locality: Locality | None = None) -> None:
        super().__init__()
        self.network, self.multiple, self.locality = network, multiple, locality

    def forward(self, x: Tensor, std: Tensor) -> Tensor:
        """Denoise `x`, (B, C, H, W), with noise of `std`, (B,)."""
        y = torch.cat([x, per_image(std, x).expand_as(x[:, :1])], 1)
        return apply_padded(self.network, y, multiple=self.multiple)


@final
class WithoutNoise(nn.Module):
    """A network that takes the image alone: for any noise, or for noise of one std."""

    def __init__(
        self, network: nn.Module, *, multiple: int = 1, minimum: int = 0, locality: Locality | None = None
    ) -> None:
        super().__init__()
        self.network, self.multiple, self.minimum, self.locality = network, multiple, minimum, locality

    def forward(self, x: Tensor, std: Tensor | None = None) -> Tensor:
        """Restore `x`, (B, C, H, W); `std` is not used."""
        return apply_padded(self.network, x, multiple=self.multiple, minimum=self.minimum)


def apply_padded(network: nn.Module, x: Tensor, *, multiple: int, minimum: int = 0) -> Tensor:
    """Apply a network to images that are extended at the right and below to sides that it takes."""
    height, width = x.shape[-2:]
    right, below = (max(-side % multiple, minimum - side) for side in (width, height))
    y: Tensor = network(pad(x, (0, right, 0, below), mode="replicate") if right or below else x)
    return y[..., :height, :width]


def find_size(network: nn.Module) -> tuple[int, int]:
    """Return the number of convolutions of a network and the largest number of their channels."""
    widths = [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    return len(widths), max(widths)


def find_plain_locality(network: nn.Module) -> Locality:
    """Return the locality of 3 x 3 convolutions one after the other."""
    depth, width = find_size(network)
    return Locality(receptive_field=2 * depth + 1, floats_per_pixel=2 * width + 8)


def find_drunet_locality(blocks: int, width: int) -> Locality:
    """Return the locality of DRUNet, given its residual blocks per scale and the width of the first."""
    convolutions = (2 + 4 * blocks, 4 * blocks, 4 * blocks, 2 * blocks)  # of each scale, 3 x 3
    margin = sum(count * 2**scale for scale, count in enumerate(convolutions)) + 16
    return Locality(receptive_field=2 * margin + 1, multiple=8, floats_per_pixel=6 * width)
