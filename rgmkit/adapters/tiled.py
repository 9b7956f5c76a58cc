"""A large image restored in tiles: one evaluation of the network, piece by piece."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TypeAlias, final

import torch
from torch import Tensor

from rgmkit.adapters.geometry import RAMP, Cut, up
from rgmkit.core.locality import Locality
from rgmkit.core.prior import RestoringPrior
from rgmkit.errors import ConfigError

Progress: TypeAlias = Callable[[int, int], None]
Side: TypeAlias = tuple[slice, Tensor]
"""Of a tile along one axis: the pixels, and their weights."""


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
        progress: called as `progress(done, count)` after each tile of an evaluation.
    """

    def __init__(
        self, prior: RestoringPrior, *, side: int, pixels: float = math.inf, progress: Progress | None = None
    ) -> None:
        super().__init__(prior.process, image_shape=prior.image_shape, center=prior.center, scale=prior.scale)
        self.inner, self.latent, self.locality = prior, prior.latent, prior.locality
        self.continuous = prior.continuous
        self.cut, self.pixels, self.progress = cut(prior.locality, side), pixels, progress

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """How many tiles an image of `height` x `width` pixels has, and height and width of the first, all of it."""
        rows, columns = self.cut.intervals(height), self.cut.intervals(width)
        return len(rows) * len(columns), rows[0].stop, columns[0].stop

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        out = torch.zeros_like(y)
        tiles = self._tiles(y)
        for i, (images, (rows, down), (columns, across)) in enumerate(tiles):
            part = self.inner._restore(y[images, :, rows, columns], level[images], z[images])
            out[images, :, rows, columns] += down[:, None] * across * part
            if self.progress is not None:
                self.progress(i + 1, len(tiles))
        return out

    def _tiles(self, y: Tensor) -> list[tuple[slice, Side, Side]]:
        """Images, rows and columns of what is evaluated at a time."""
        down, across = (
            list(zip(self.cut.intervals(length), self.cut.weights(length, like=y), strict=True))
            for length in y.shape[-2:]
        )
        return [
            (images, rows, columns)
            for rows, columns in itertools.product(down, across)
            for images in self._batches(len(y), len(rows[1]) * len(columns[1]))
        ]

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
