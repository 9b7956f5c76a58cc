"""A convolutional denoiser without normalisation, for grey and colour images of any size.

Most of its work is done at low resolution. Its only operations are convolutions, ReLUs and additions, which is what a
CPU computes fastest; everything is local, so that a large image may be restored in tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, pixel_shuffle, pixel_unshuffle, relu_

from rgmkit.core.bounds import Count, CountOrZero
from rgmkit.core.locality import Locality
from rgmkit.core.process import ForwardProcess
from rgmkit.errors import ConfigError
from rgmkit_gan.networks.parts import Correction, conv, first_axis, pad_to_multiple

WINDOW = 5  # side of the square whose mean is subtracted from a pixel
MOST_RATIO = 2.5  # sigma / a above which the network no longer distinguishes levels
DETAIL = 0.7  # factor that gives the compressed detail unit size at high noise


def _resample(kind: type[nn.Conv2d] | type[nn.ConvTranspose2d], inputs: int, outputs: int) -> nn.Module:
    """Return a 2x2 convolution of stride 2, or its transpose."""
    layer = kind(inputs, outputs, 2, 2)
    nn.init.normal_(layer.weight, std=((4 if kind is nn.Conv2d else 1) * inputs) ** -0.5)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class _Block(nn.Module):
    """`h + W2 relu(W1 h)`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width, gain=2**0.5), conv(width, width, gain=0.3)

    def forward(self, h: Tensor) -> Tensor:
        return self.second(relu_(self.first(h))).add_(h)


def _shift(latent: int, width: int) -> nn.Linear:
    """Return a layer from z to a shift of the features, 0 at first."""
    layer = nn.Linear(latent, width)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(count)))


@final
class ResidualUNet(nn.Module):
    """A restorer of images: `G(y, t, z) = a_{t+1} y + sigma_{t+1} u(y, t, z)`, by default without z.

    The input of `u` is the image `y`, its detail in units of the noise, `asinh((y - mean of 5x5) / sigma)`, which keeps
    weak noise visible beside strong edges, and constant channels: the logarithm of the noise level, and 1 plus the
    severity of a `severity` process. `patch x patch` pixels become channels at the input. The scales are joined by 2x2
    convolutions of stride 2 and by additions. Images of any size are padded to the next size that the scales divide, by
    reflection.

    Images of each number of channels have an input and an output layer of their own; all else is shared. The level may
    lie between two levels.

    Source: the blocks and scales are those of DRUNet (Zhang et al., "Plug-and-play image restoration with deep denoiser
    prior", 2021), with fewer of them.

    Args:
        process: the forward process, whose levels and their gain `a` and noise std `sigma` are used.
        image_shape: of one training image, (C, H, W).
        channels: the numbers of channels of the images that the network takes. Default: C.
        widths: channels of the features at each scale; each scale halves the resolution.
        down: residual blocks of each scale on the way down.
        up: residual blocks of each scale but the coarsest on the way up.
        patch: side of the pixel blocks that become channels at the input.
        latent: number of values of z, from which a linear layer computes a shift of the features of each scale; 0 for a
            network that estimates means, see the objective `mmse`.
    """

    severity: Tensor
    continuous = True

    def __init__(
        self,
        *,
        process: ForwardProcess,
        image_shape: tuple[int, ...],
        channels: tuple[int, ...] = (),
        widths: tuple[Count, ...] = (48, 96, 192),
        down: tuple[CountOrZero, ...] = (2, 2, 2),
        up: tuple[CountOrZero, ...] = (2, 2),
        patch: Count = 2,
        latent: CountOrZero = 0,
    ) -> None:
        super().__init__()
        if len(down) != len(widths) or len(up) != len(widths) - 1:
            raise ConfigError(
                f"residual-unet has {len(widths)} widths, down for {len(down)} scales and up for {len(up)}: give down "
                f"for each scale and up for each but the last"
            )
        own = first_axis(image_shape, axes=3, network="residual-unet")
        self.channels = tuple(channels) or (own,)
        if own not in self.channels:
            raise ConfigError(f"channels is {self.channels}, and the data has {own}: add it")
        self.patch, self.multiple, self.latent = patch, patch * 2 ** (len(widths) - 1), latent
        self.enter = nn.ModuleDict({str(c): conv(2 * c * patch**2 + 2, widths[0]) for c in self.channels})
        self.down = nn.ModuleList(map(_blocks, widths, down))
        self.shrink = nn.ModuleList(_resample(nn.Conv2d, *pair) for pair in pairwise(widths))
        self.grow = nn.ModuleList(_resample(nn.ConvTranspose2d, b, a) for a, b in pairwise(widths))
        self.up = nn.ModuleList(map(_blocks, widths[:-1], up))
        self.shift = nn.ModuleList(_shift(latent, width) for width in (*widths, *widths[-2::-1]) if latent)
        self.leave = nn.ModuleDict({str(c): conv(widths[0], c * patch**2, gain=0.5) for c in self.channels})
        self.correct = Correction(process)
        severity = getattr(process, "severity_by_level", torch.zeros(process.levels + 1))
        self.register_buffer("severity", severity[1:].clone(), persistent=False)
        self.locality = _locality(max(self.channels), widths, down, up, patch)

    def forward(self, y: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Return clean images from images `y` (B, C, H, W) of level t + 1."""
        height, width = y.shape[-2:]
        h = self._trunk(self._enter(y, t), [shift(z.to(y))[:, :, None, None] for shift in self.shift])
        u = pixel_shuffle(self.leave[str(y.shape[1])](h), self.patch)
        return self.correct(y, u[..., :height, :width].to(y.dtype), t)

    def add_blocks(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of a network with fewer blocks, or without z, completed: what is new changes nothing."""
        own = self.state_dict()
        new = [name for name in own if name not in weights and name.startswith(("down.", "up.", "shift."))]
        return {**weights, **{name: own[name] * 0 if ".second." in name else own[name] for name in new}}

    def _enter(self, y: Tensor, t: Tensor) -> Tensor:
        """Return the first features, never in half precision, which would round weak noise away."""
        a, sigma = (value.view(-1, 1, 1, 1).to(y.dtype) for value in self.correct.at(t))
        level = ((sigma / a).clamp(max=MOST_RATIO) / 2 + 1e-3).log() / 3 + 0.8  # about 1 to -1
        layer = cast(nn.Conv2d, self.enter[str(y.shape[1])])
        with torch.autocast(y.device.type, enabled=False):
            y = pad_to_multiple(y, self.multiple)
            mean = avg_pool2d(y, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)
            detail = DETAIL * ((y - mean) / sigma).asinh()
            v = pixel_unshuffle(torch.cat([detail, y], 1), self.patch)
            one = torch.ones_like(v[:, :1])
            severity = self.severity[t.long()].view(-1, 1, 1, 1)
            v = torch.cat([v, (1 + severity) * one, level * one], 1).contiguous(memory_format=torch.channels_last)
            return conv2d(v, layer.weight.to(v), cast(Tensor, layer.bias).to(v), padding=1)

    def _trunk(self, h: Tensor, shifts: list[Tensor]) -> Tensor:
        skips: list[Tensor] = []
        shift = iter(shifts)
        for i, blocks in enumerate(self.down):
            if i:
                skips.append(h)
                h = self.shrink[i - 1](h)
            h = blocks(h + next(shift).to(h) if shifts else h)
        for grow, blocks in zip(reversed(self.grow), reversed(self.up), strict=True):
            h = grow(h).add_(skips.pop())
            h = blocks(h + next(shift).to(h) if shifts else h)
        return h


def _locality(
    channels: int, widths: tuple[int, ...], down: tuple[int, ...], up: tuple[int, ...], patch: int
) -> Locality:
    """Return the receptive field, tile alignment and memory of the network.

    There is one convolution at either end, two in each block, and the mean that is subtracted. A convolution reaches
    as far as one cell of its scale. Tiles are aligned with the cells of the coarsest scale, and a pixel may lie at
    either end of its cell. Memory peaks in a block at the finest scale, or at the input.
    """
    cells = [patch * 2**i for i in range(len(widths))]
    blocks = [n + m for n, m in zip(down, (*up, 0), strict=True)]
    margin = WINDOW // 2 + 2 * patch + sum(2 * n * cell for n, cell in zip(blocks, cells, strict=True)) + cells[-1] - 1
    features = max(width / cell**2 for width, cell in zip(widths, cells, strict=True))
    return Locality(2 * margin + 1, cells[-1], floats_per_pixel=max(5 * features, 9 * channels))
