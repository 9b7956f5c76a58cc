"""A large image restored in tiles: one evaluation of the network, piece by piece."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from rgmkit.adapters.geometry import RAMP, Cut, up
from rgmkit.core.locality import Locality
from rgmkit.core.prior import RestoringPrior
from rgmkit.errors import ConfigError


@final
class Tiled(RestoringPrior):
    """`G(y, t, z) = sum_k w_k G(y on tile k, t, z)`, with smooth weights `w_k` that add up to 1 at each pixel.

    Only the network sees tiles; level and z are those of the image, and the forward process, its noise
    and the degradation stay on the whole image. With a `Locality` the weight of a tile is 0 where its
    inner edge lies within the receptive field, so that everything that is blended is what the whole
    image would give: the answer is the untiled one, at the borders too, up to float rounding. Without
    one, tiles reach half a side into their neighbours and are blended there, and the answer is another one.

    Args:
        prior: whose network it is.
        side: of the squares that the image is cut into, in pixels, at the most. The network sees each with
            the pixels around it that it needs.
        pixels: evaluated at a time, over all images of a batch; one tile of one image at the least.
    """

    def __init__(self, prior: RestoringPrior, *, side: int, pixels: float = math.inf) -> None:
        super().__init__(prior.process, image_shape=prior.image_shape, center=prior.center, scale=prior.scale)
        self.inner, self.latent, self.locality = prior, prior.latent, prior.locality
        self.cut, self.pixels = cut(prior.locality, side), pixels

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """How many tiles an image of `height` x `width` pixels has, and height and width of the first, all of it."""
        rows, columns = self.cut.intervals(height), self.cut.intervals(width)
        return len(rows) * len(columns), rows[0].stop, columns[0].stop

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        height, width = y.shape[-2:]
        out = torch.zeros_like(y)
        for rows, down in zip(self.cut.intervals(height), self.cut.weights(height, like=y), strict=True):
            for columns, across in zip(self.cut.intervals(width), self.cut.weights(width, like=y), strict=True):
                weight = down[:, None] * across
                for images in self._batches(len(y), weight.numel()):
                    part = self.inner._restore(y[images, :, rows, columns], level[images], z[images])
                    out[images, :, rows, columns] += weight * part
        return out

    def _batches(self, images: int, pixels: int) -> list[slice]:
        """Images of a tile of `pixels` that are evaluated together."""
        size = int(min(images, max(1, self.pixels // pixels)))
        return [slice(start, start + size) for start in range(0, images, size)]


def cut(locality: Locality | None, side: int) -> Cut:
    """The cut of each axis into squares of a side, for a network that is local or unknown.

    Raises:
        ConfigError: if the side is no number of pixels.
    """
    if side < 1:
        raise ConfigError(f"tile is {side}: give the side of a tile in pixels")
    if locality is None:
        return Cut(side, overlap=max(1, side // 2))
    return Cut(side, overlap(locality), locality.margin, locality.multiple)


def overlap(locality: Locality) -> int:
    """The pixels that neighbouring tiles share: the margins of both, and a ramp."""
    return up(2 * locality.margin + RAMP, locality.multiple)
