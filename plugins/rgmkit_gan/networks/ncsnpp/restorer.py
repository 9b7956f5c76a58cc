"""The restorer `ncsnpp`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from rgmkit.core.bounds import BelowOne, Count, CountOrZero
from rgmkit.errors import ConfigError
from rgmkit_gan.networks.ncsnpp.layers import (
    NEARLY_ZERO,
    Attention,
    Block,
    PixelNorm,
    PyramidStep,
    conv,
    count_groups,
    dense,
    embed_level,
    initialise_by_outputs,
    join,
)  # fmt: skip
from rgmkit_gan.networks.ncsnpp.modulation import EPS
from rgmkit_gan.networks.ncsnpp.published import read_weights
from rgmkit_gan.networks.ncsnpp.resampling import RESAMPLERS, Resampling
from rgmkit_gan.networks.parts import first_axis, pad_to_multiple


@final
class NCSNpp(nn.Module):
    """The published restorer: `G(y, t, z)` in [-1, 1], by a final tanh.

    A U-net of residual blocks. The level is added in each block; z, as a style, sets the scale and the shift of
    each normalisation. The degraded image is an input at every scale (input pyramid), and sums of branches are divided
    by `sqrt 2`. The defaults are the published configuration for 32x32 images, of 48.4 M parameters. Images of any
    size are padded internally to multiples of `2^(scales - 1)`.

    Source: Choi, Park and Kang, ICML 2023; names and initial values of the parameters as published.

    Args:
        image_shape: of one training image, (C, H, W).
        width: channels at the finest scale, a multiple of 4.
        multipliers: channels of each scale divided by `width`; each scale halves the resolution.
        blocks: residual blocks per scale on the way down; one more on the way up.
        attention: resolutions, in pixels of the shorter side of a training image, whose blocks have attention.
        latent: number of values of z.
        style: width of the style that z becomes.
        style_layers: dense layers of the style after the first.
        dropout: fraction of the features that each block drops in training.
        resampling: "fir", the filter [1, 3, 3, 1] as published, or "plain".

    Raises:
        ConfigError: if the data are not images, or the widths cannot be normalised in groups.

    >>> tiny = NCSNpp(image_shape=(1, 16, 16), width=8, multipliers=(1, 2), blocks=1, attention=(8,), latent=3)
    >>> tiny(torch.zeros(2, 1, 16, 16), torch.tensor([0, 3]), torch.zeros(2, 3)).shape
    torch.Size([2, 1, 16, 16])
    """

    def __init__(
        self,
        *,
        image_shape: tuple[int, ...],
        width: Count = 128,
        multipliers: tuple[Count, ...] = (1, 2, 2, 2),
        blocks: Count = 2,
        attention: tuple[int, ...] = (16,),
        latent: Count = 100,
        style: Count = 256,
        style_layers: CountOrZero = 4,
        dropout: BelowOne = 0.0,
        resampling: Resampling = "fir",
    ) -> None:
        super().__init__()
        channels = first_axis(image_shape, axes=3, network="ncsnpp")
        if not multipliers or min(width // 4, blocks, latent) < 1:
            raise ConfigError(
                f"width is {width}, blocks {blocks}, latent {latent} and multipliers {list(multipliers)}: give "
                f"4 or more, 1 or more, 1 or more, and one per scale"
            )
        self.latent, self.width, self.blocks, self.multiple = latent, width, blocks, 2 ** (len(multipliers) - 1)
        side = min(image_shape[1:])
        self.attends = tuple(math.ceil(side / 2**i) in attention for i in range(len(multipliers)))
        block = {"level": 4 * width, "style": style, "dropout": dropout, "resampler": RESAMPLERS[resampling]()}
        widths = [width * m for m in multipliers]
        self.all_modules = nn.ModuleList(self._layers(channels, widths, block))
        mapping: list[nn.Module] = [PixelNorm(), initialise_by_outputs(nn.Linear(latent, style)), nn.SiLU()]
        for _ in range(style_layers):
            mapping += [initialise_by_outputs(nn.Linear(style, style)), nn.SiLU()]
        self.z_transform = nn.Sequential(*mapping)

    def _layers(self, channels: int, widths: list[int], options: dict[str, Any]) -> Iterator[nn.Module]:
        """Yield the layers in the order of `forward`, which is the order of the published names."""

        block: Callable[..., Block] = partial(Block, **options)
        width = self.width
        yield from (dense(width, 4 * width), dense(4 * width, 4 * width), conv(channels, width))
        h, pyramid, skips = width, channels, [width]
        for i, (wide, attends) in enumerate(zip(widths, self.attends, strict=True)):
            for _ in range(self.blocks):
                yield block(h, wide)
                if attends:
                    yield Attention(wide)
                h = wide
                skips.append(h)
            if i < len(widths) - 1:
                yield from (block(h, h, resize="down"), PyramidStep(pyramid, h, resampler=options["resampler"]))
                pyramid = h
                skips.append(h)
        yield from (block(h, h), Attention(h), block(h, h))
        for i, (wide, attends) in reversed(list(enumerate(zip(widths, self.attends, strict=True)))):
            for _ in range(self.blocks + 1):
                yield block(h + skips.pop(), wide)
                h = wide
            if attends:
                yield Attention(h)
            if i:
                yield block(h, h, resize="up")
        yield from (nn.GroupNorm(count_groups(h), h, eps=EPS), conv(h, channels, gain=NEARLY_ZERO))

    def forward(self, y: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Restore images (B, C, H, W) from images `y` of level t + 1; `z` is (B, latent)."""
        height, width = y.shape[-2:]
        style = self.z_transform(z.to(y))
        return self._restore(pad_to_multiple(y, self.multiple), t, style)[..., :height, :width]

    def _restore(self, y: Tensor, t: Tensor, style: Tensor) -> Tensor:
        layers = iter(self.all_modules)
        level = silu(next(layers)(embed_level(t, self.width, y.dtype)))
        level = silu(next(layers)(level))  # the activation that every block would apply
        h, pyramid = next(layers)(y), y
        skips = [h]
        for i, attends in enumerate(self.attends):
            for _ in range(self.blocks):
                h = next(layers)(h, level, style)
                h = next(layers)(h) if attends else h
                skips.append(h)
            if i < len(self.attends) - 1:
                h = next(layers)(h, level, style)
                h = pyramid = join(next(layers)(pyramid), h)
                skips.append(h)
        h = next(layers)(h, level, style)
        h = next(layers)(h)
        h = next(layers)(h, level, style)
        for i, attends in reversed(list(enumerate(self.attends))):
            for _ in range(self.blocks + 1):
                h = next(layers)(torch.cat([h, skips.pop()], 1), level, style)
            h = next(layers)(h) if attends else h
            h = next(layers)(h, level, style) if i else h
        norm, leave = layers
        return leave(silu(norm(h))).tanh()

    @classmethod
    def read_weights(
        cls, weights: Mapping[str, Tensor], side: int | None = None
    ) -> tuple[dict[str, Any], tuple[int, ...]]:
        """Infer options and image shape from `weights`, for `rgmkit convert`; see `published.read_weights`."""
        return read_weights(weights, side)
