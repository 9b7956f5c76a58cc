"""A small convolutional restorer and its discriminator, for images of any size.

The restorer is local: features are normalised pixel by pixel, and there is no attention,
so that large images can be restored in tiles.
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, pixel_shuffle, pixel_unshuffle, silu

from rgmkit.core.bounds import Count, CountOrZero
from rgmkit.core.locality import Locality
from rgmkit.core.process import ForwardProcess
from rgmkit_gan.networks.parts import Correction, conv, first_axis, pad_to_multiple
from rgmkit_gan.networks.pixel_norm import normalise_pixels


class _Style(nn.Module):
    """Level and z as one vector: `silu(dense(silu(embed(t) + dense(z / rms z))))`."""

    def __init__(self, levels: int, latent: int, width: int) -> None:
        super().__init__()
        self.level, self.z = nn.Embedding(levels, width), nn.Linear(latent, width) if latent else None
        self.mix = nn.Linear(width, width)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        h = self.level(t.long())
        if t.is_floating_point():  # between the embeddings of the two nearest levels
            h = h.lerp(self.level(t.ceil().long()), (t - t.floor())[:, None])
        if self.z is not None:
            h = h + self.z(z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt())
        return silu(self.mix(silu(h)))


class _Block(nn.Module):
    """`h + W2 silu(scale * norm(W1 silu(norm(h))) + shift)`, scale and shift from the style."""

    def __init__(self, inputs: int, outputs: int, style: int) -> None:
        super().__init__()
        self.first, self.second = conv(inputs, outputs), conv(outputs, outputs, gain=0.1)
        self.modulate = nn.Linear(style, 2 * outputs)
        nn.init.zeros_(self.modulate.bias)
        self.skip = conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, h: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.modulate(style).chunk(2, 1)
        inner = normalise_pixels(self.first(normalise_pixels(h)), 1 + scale, shift)
        return self.second(inner).add_(self.skip(h))


@final
class UNet(nn.Module):
    """A restorer of images: `G(y, t, z) = a_{t+1} y + sigma_{t+1} u(y, t, z)`.

    Blocks of `patch x patch` pixels become channels at the input. Images of any size are padded internally to the
    next size that the scales divide, by reflection.

    Args:
        process: the forward process, whose levels and their gain `a` and noise std `sigma` are used.
        image_shape: of one training image, (C, H, W); only C matters.
        width: channels at the finest scale.
        multipliers: channels of each scale divided by `width`; each scale halves the resolution.
        blocks: residual blocks per scale, on the way down and up.
        patch: side of the blocks of pixels that become channels at the input.
        latent: number of values of z; 0 for a network that estimates means, see the objective `mmse`.
        continuous: restore from a level between two, given as a float t, by interpolating their embeddings rather than
            two results. It suits closely spaced levels: photographs at noise levels of .02, .04, .08 … gain up to 1 dB,
            digits at .2, .63, 2 lose 2 dB.

    >>> from rgmkit_noise.process import GaussianProcess
    >>> network = UNet(process=GaussianProcess(levels=4), image_shape=(1, 16, 16), width=8)
    >>> network(torch.zeros(2, 1, 13, 20), torch.tensor([0, 3]), torch.zeros(2, 16)).shape
    torch.Size([2, 1, 13, 20])
    """

    def __init__(
        self,
        *,
        process: ForwardProcess,
        image_shape: tuple[int, ...],
        width: Count = 48,
        multipliers: tuple[Count, ...] = (1, 2),
        blocks: Count = 2,
        patch: Count = 2,
        latent: CountOrZero = 16,
        continuous: bool = False,
    ) -> None:
        super().__init__()
        self.continuous = continuous
        channels, style = first_axis(image_shape, axes=3, network="unet"), 2 * width
        widths = [width * m for m in multipliers]
        self.patch, self.latent, self.multiple = patch, latent, patch * 2 ** (len(widths) - 1)
        self.style = _Style(process.levels, latent, style)
        self.enter = conv(channels * patch**2, widths[0])
        self.down = nn.ModuleList(_Scale(a, b, style, blocks) for a, b in pairwise([widths[0], *widths]))
        self.up = nn.ModuleList(_Scale(a + b, b, style, blocks) for a, b in pairwise(reversed(widths)))
        self.leave = conv(widths[0], channels * patch**2, gain=0.1)
        self.correct = Correction(process)
        self.locality = _locality(channels, widths, blocks, patch)

    def forward(self, y: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Restore images (B, C, H, W) from images `y` of level t + 1; `z` is (B, latent)."""
        return self.correct(y, self._correction(y, t, z), t)

    def _correction(self, y: Tensor, t: Tensor, z: Tensor) -> Tensor:
        height, width = y.shape[-2:]
        style = self.style(t, z.to(y))
        h = self.enter(pixel_unshuffle(pad_to_multiple(y, self.multiple), self.patch))
        skips: list[Tensor] = []
        for i, scale in enumerate(self.down):
            if i:
                skips.append(h)
                h = avg_pool2d(h, 2)
            h = scale(h, style)
        for scale in self.up:
            h = scale(torch.cat([interpolate(h, scale_factor=2.0), skips.pop()], 1), style)
        u = pixel_shuffle(self.leave(normalise_pixels(h)), self.patch)
        return u[..., :height, :width].to(y.dtype)


def _locality(channels: int, widths: list[int], blocks: int, patch: int) -> Locality:
    """Return the receptive field, tile alignment and memory of the network.

    There is one convolution at either end, and `2 blocks` at each scale on the way down and, except at the coarsest,
    up. A convolution reaches as far as one cell of its scale. Tiles are aligned with the cells of the coarsest scale.
    Memory peaks at the input of a block on the way up, where features and skipped features are concatenated: 4 to 6
    times these channels were measured.
    """
    multiple = patch * 2 ** (len(widths) - 1)
    margin = 2 * patch + 4 * blocks * (multiple - patch) + 2 * blocks * multiple + multiple - 1
    concatenated = [(w + below) / 4**i for i, (w, below) in enumerate(zip(widths, [*widths[1:], 0], strict=True))]
    return Locality(2 * margin + 1, multiple, floats_per_pixel=6 * max(concatenated) / patch**2 + 8 * channels)


class _Scale(nn.Module):
    """The residual blocks of one resolution."""

    def __init__(self, inputs: int, outputs: int, style: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(outputs if i else inputs, outputs, style) for i in range(blocks))

    def forward(self, h: Tensor, style: Tensor) -> Tensor:
        for block in self.blocks:
            h = block(h, style)
        return h


class _DiscriminatorBlock(nn.Module):
    """`skip(h) + W2 act(W1 act(h) + level)`, a residual block of the discriminator."""

    def __init__(self, inputs: int, outputs: int, style: int) -> None:
        super().__init__()
        self.first, self.second = conv(inputs, outputs), conv(outputs, outputs, gain=0.5)
        self.level = nn.Linear(style, outputs)
        self.skip = conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, h: Tensor, style: Tensor) -> Tensor:
        inner = self.first(leaky_relu(h, 0.2))
        inner += self.level(style)[:, :, None, None]
        return self.second(leaky_relu(inner, 0.2)).add_(self.skip(h))


@final
class UNetDiscriminator(nn.Module):
    """A discriminator of images, `D(x, t)`, (B,): residual blocks, halved resolution between scales, a sum over pixels.

    Args:
        process: the forward process, whose number of levels is used.
        image_shape: of one image, (C, H, W); only C matters.
        width: channels at the finest scale.
        multipliers: channels of each scale divided by `width`; each scale halves the resolution.
        blocks: residual blocks per scale.
        patch: side of the blocks of pixels that become channels at the input.
    """

    def __init__(
        self,
        *,
        process: ForwardProcess,
        image_shape: tuple[int, ...],
        width: Count = 48,
        multipliers: tuple[Count, ...] = (1, 2, 2),
        blocks: Count = 1,
        patch: Count = 2,
    ) -> None:
        super().__init__()
        channels = first_axis(image_shape, axes=3, network="unet-discriminator")
        style, widths = 2 * width, [width * m for m in multipliers]
        self.patch, self.multiple = patch, patch * 2 ** (len(widths) - 1)
        self.level = nn.Embedding(process.levels, style)
        self.enter = conv(channels * patch**2, widths[0])
        self.scales = nn.ModuleList(
            nn.ModuleList(_DiscriminatorBlock(b if i else a, b, style) for i in range(blocks))
            for a, b in pairwise([widths[0], *widths])
        )
        self.last = conv(widths[-1], widths[-1])
        self.leave = nn.Linear(widths[-1], 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return one number for each image, higher for images that look real."""
        return self.leave(self.features(x, t))[:, 0].float()

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """Return what the score is a linear function of, (B, channels)."""
        style = self.level(t)
        h = self.enter(pixel_unshuffle(pad_to_multiple(x, self.multiple), self.patch))
        for i, blocks in enumerate(self.scales):
            h = avg_pool2d(h, 2) if i else h
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, style)
        return leaky_relu(self.last(leaky_relu(h, 0.2)), 0.2).sum((2, 3))
