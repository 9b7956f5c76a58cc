"""The published discriminators for `ncsnpp`."""

from __future__ import annotations

import math
from abc import ABC
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from rgmkit.core.bounds import Count
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_gan.networks.ncsnpp.layers import NEARLY_ZERO, embed_level, initialise_by_outputs, join
from rgmkit_gan.networks.ncsnpp.resampling import FIR
from rgmkit_gan.networks.parts import first_axis, promote_half

GROUP = 4  # number of images that are compared with each other


def act(h: Tensor) -> Tensor:
    """Apply the activation of the discriminators."""
    return leaky_relu(h, 0.2)


def conv(inputs: int, outputs: int, size: int = 3, *, gain: float = 1.0, bias: bool = True) -> nn.Conv2d:
    """Make a convolution that keeps the size."""
    return initialise_by_outputs(nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias), gain=gain)


def dense(inputs: int, outputs: int) -> nn.Linear:
    """Make a dense layer."""
    return initialise_by_outputs(nn.Linear(inputs, outputs))


class _Level(nn.Module):
    """`dense(act(dense(embed_level(t))))`, all of one width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.main = nn.Sequential(dense(width, width), nn.LeakyReLU(0.2), dense(width, width))

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        return self.main(embed_level(t, self.width, dtype))


class _DiscriminatorBlock(nn.Module):
    """`(skip(h) + W2 act(W1 act(h) + level)) / sqrt 2`, both branches halved before their last convolution."""

    def __init__(self, inputs: int, outputs: int, *, level: int, fir: FIR | None) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(conv(inputs, outputs))
        self.conv2 = nn.Sequential(conv(outputs, outputs, gain=NEARLY_ZERO))
        self.dense_t1 = dense(level, outputs)
        self.skip = nn.Sequential(conv(inputs, outputs, 1, bias=False))
        self.fir = fir

    def forward(self, h: Tensor, level: Tensor) -> Tensor:
        inner = self.conv1(act(h))
        inner += self.dense_t1(level)[:, :, None, None]
        inner = act(inner)
        if self.fir is not None:
            h, inner = self.fir.down(h), self.fir.down(inner)
        return join(self.skip(h), self.conv2(inner))


def append_minibatch_std(h: Tensor) -> Tensor:
    """Append a channel to `h` (B, C, H, W): how much the images of a group of four differ (Karras et al. 2018).

    Image i is in group `i mod ceil(B/4)`; if 4 does not divide B, some groups have three or two images. The
    channel is `sqrt(biased variance + 1e-8)` over the group, averaged over channels and pixels.
    """
    number = math.ceil(len(h) / GROUP)
    exact = h.to(promote_half(h.dtype)).flatten(1)
    present = pad(exact.new_ones(len(h), 1), (0, 0, 0, GROUP * number - len(h))).view(GROUP, number, 1)
    rows = pad(exact, (0, 0, 0, GROUP * number - len(h))).view(GROUP, number, -1)
    size = present.sum(0)
    variance = ((rows - rows.sum(0) / size) * present).square().sum(0) / size
    std = (variance + 1e-8).sqrt().mean(1).repeat(GROUP)[: len(h)]
    return torch.cat([h, std.to(h.dtype).view(-1, 1, 1, 1).expand(-1, 1, *h.shape[2:])], dim=1)


class _Discriminator(nn.Module, ABC):
    """A discriminator of images, `D(x, t)`, (B,): residual blocks, minibatch standard deviation, a sum over pixels.

    Args:
        image_shape: of one image, (C, H, W); only C matters.
        width: the blocks have 2 to 8 times as many channels.
        embedding: width of the embedding of the level, an even number.
    """

    compares_batch = True  # so that real and fake images are judged in separate groups
    group = GROUP  # not split over processes or accumulated parts of a batch
    blocks: ClassVar[tuple[tuple[int, bool], ...]]  # channels divided by `width`, and whether the resolution is halved
    last_gain: ClassVar[float] = 1.0  # initial gain of the last convolution

    def __init__(self, *, image_shape: tuple[int, ...], width: Count = 64, embedding: Count = 256) -> None:
        super().__init__()
        channels = first_axis(image_shape, axes=3, network="ncsnpp-discriminator")
        if embedding < 4 or embedding % 2:
            raise ConfigError(f"embedding is {embedding}: give an even number, 4 or more")
        self.t_embed = _Level(embedding)
        self.start_conv = conv(channels, 2 * width, 1)
        inputs = 2
        for i, (multiplier, halves) in enumerate(self.blocks, start=1):
            block = _DiscriminatorBlock(
                inputs * width, multiplier * width, level=embedding, fir=FIR() if halves else None
            )
            self.add_module(f"conv{i}", block)
            inputs = multiplier
        self.final_conv = conv(inputs * width + 1, inputs * width, gain=self.last_gain)
        self.end_linear = dense(inputs * width, 1)

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """Compute the features of images `x` at the levels `t`, before images are compared: (B, 8 width, h, w).

        Raises:
            IncompatibleError: if the images are too small to be halved so often.
        """
        smallest = 2 ** sum(halves for _, halves in self.blocks)
        if min(x.shape[-2:]) < smallest:
            raise IncompatibleError(
                f"the discriminator got images of {x.shape[-1]}x{x.shape[-2]} pixels, and needs sides of {smallest} or "
                f"more: use larger images, or the small discriminator"
            )
        level = act(self.t_embed(t, x.dtype))
        h = self.start_conv(x)
        for i in range(1, len(self.blocks) + 1):
            h = self.get_submodule(f"conv{i}")(h, level)
        return h

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return one number for each image, higher for images that look real."""
        h = act(self.final_conv(append_minibatch_std(self.features(x, t))))
        judged = self.end_linear(h.sum((2, 3)))[:, 0]
        return judged.to(promote_half(judged.dtype))


@final
class SmallDiscriminator(_Discriminator):
    """The published discriminator of 32x32 images: four blocks, three of which halve the resolution.

    12.7 M parameters at the default width.

    >>> critic = SmallDiscriminator(image_shape=(1, 16, 16), width=4, embedding=16)
    >>> critic(torch.zeros(3, 1, 16, 16), torch.tensor([0, 1, 3])).shape
    torch.Size([3])
    """

    blocks = ((2, False), (4, True), (8, True), (8, True))
    last_gain = NEARLY_ZERO


@final
class LargeDiscriminator(_Discriminator):
    """The published discriminator of 256x256 images: six blocks, all of which halve the resolution.

    27.7 M parameters at the default width.
    """

    blocks = ((4, True), (8, True), (8, True), (8, True), (8, True), (8, True))
