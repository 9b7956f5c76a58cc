"""Evaluate a network on a large image tile by tile."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor, nn

from rgmkit.core.locality import Locality
from rgmkit.core.prior import RestoringPrior
from rgmkit.errors import ConfigError

RAMP = 16  # pixels over which two tiles are blended, outside the margins of both

Progress: TypeAlias = Callable[[int, int], None]
AxisTile: TypeAlias = tuple[slice, Tensor]
"""A tile along one axis: the interval of its pixels, and their weights."""


@dataclass(frozen=True)
class AxisTiling:
    """Overlapping intervals that cover an axis.

    Attributes:
        step: most pixels from the start of one interval to the next.
        overlap: pixels that neighbours share: two margins, and the ramp of the blend between them.
        margin: pixels of weight 0 at an inner end of an interval.
        multiple: of which the start of each interval is a multiple.
    """

    step: int
    overlap: int
    margin: int = 0
    multiple: int = 1

    @property
    def side(self) -> int:
        """Most pixels of an interval."""
        return round_up(self.step, self.multiple) + self.overlap

    def intervals(self, length: int) -> list[slice]:
        """Return the intervals of an axis of `length` pixels: as few as possible, of equal size except the last.

        >>> AxisTiling(step=32, overlap=32, multiple=4).intervals(150)
        [slice(0, 64, None), slice(32, 96, None), slice(64, 128, None), slice(96, 150, None)]
        """
        if length <= self.side:
            return [slice(0, length)]
        count = math.ceil((length - self.overlap) / round_up(self.step, self.multiple))
        step = round_up(math.ceil((length - self.overlap) / count), self.multiple)
        starts = range(0, length - self.overlap, step)
        return [slice(start, min(start + step + self.overlap, length)) for start in starts]

    def weights(self, length: int, *, like: Tensor) -> list[Tensor]:
        """Return the weights of each interval: a smooth partition of unity.

        They are 0 in the margins and rise from there like `sin^2` from 0 to pi/2.
        """
        intervals = self.intervals(length)
        total = torch.zeros(length, dtype=torch.float64)
        shapes = []
        for interval in intervals:
            position = torch.arange(interval.start, interval.stop, dtype=torch.float64) + 0.5
            left = position - interval.start if interval.start else torch.full_like(position, math.inf)
            right = interval.stop - position if interval.stop < length else torch.full_like(position, math.inf)
            inside = (torch.minimum(left, right) - self.margin) / (self.overlap - 2 * self.margin)
            shapes.append((inside.clamp(0, 1) * math.pi / 2).sin().square())
            total[interval] += shapes[-1]
        return [(shape / total[interval]).to(like) for shape, interval in zip(shapes, intervals, strict=True)]


@final
class Tiled(RestoringPrior):
    """`G(y, t, z) = sum_k w_k G(y on tile k, t, z)`, with smooth weights `w_k` that add up to 1 at each pixel.

    Only the network is evaluated on tiles, with the level and the z of the image; the forward process, its noise and
    the degradation act on the whole image. With a `Locality` the weight of a tile is 0 near its inner edges, as far
    as the receptive field reaches, so that the result is that of the whole image up to float rounding. Without
    one, tiles overlap by half a side and are blended there, and the result differs from that of the whole image.

    Args:
        prior: the prior whose network is evaluated.
        tile: largest side of a tile in pixels, without the surrounding pixels that the network needs.
        pixels: most pixels to evaluate at a time, over the images of a batch, but at least one tile of one image.
        progress: called as `progress(done, count)` after each tile of an evaluation.

    Raises:
        ConfigError: if `tile` is less than 1.
    """

    def __init__(
        self, prior: RestoringPrior, *, tile: int, pixels: float = math.inf, progress: Progress | None = None
    ) -> None:
        super().__init__(prior.process, image_shape=prior.image_shape, center=prior.center, scale=prior.scale)
        self.prior, self.latent, self.locality = prior, prior.latent, prior.locality
        self.continuous, self.generative, self.channels = prior.continuous, prior.generative, prior.channels
        self.tiling, self.pixels, self.progress = make_tiling(prior.locality, tile), pixels, progress

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return the number of tiles of an image of `height` x `width` pixels, and height and width of the first."""
        rows, columns = self.tiling.intervals(height), self.tiling.intervals(width)
        return len(rows) * len(columns), rows[0].stop, columns[0].stop

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        out = torch.zeros_like(y)
        tiles = self._tiles(y)
        for i, (images, (rows, row_weights), (columns, column_weights)) in enumerate(tiles):
            part = self.prior._restore(y[images, :, rows, columns], level[images], z[images])
            out[images, :, rows, columns] += row_weights[:, None] * column_weights * part
            if self.progress is not None:
                self.progress(i + 1, len(tiles))
        return out

    def _tiles(self, y: Tensor) -> list[tuple[slice, AxisTile, AxisTile]]:
        """Return the slice of images, and the rows and columns with their weights, of each evaluation."""
        row_tiles, column_tiles = (
            list(zip(self.tiling.intervals(length), self.tiling.weights(length, like=y), strict=True))
            for length in y.shape[-2:]
        )
        return [
            (images, rows, columns)
            for rows, columns in itertools.product(row_tiles, column_tiles)
            for images in self._batches(len(y), len(rows[1]) * len(columns[1]))
        ]

    def _batches(self, images: int, pixels: int) -> list[slice]:
        """Return slices of images to evaluate together, for a tile of `pixels` pixels."""
        size = int(min(images, max(1, self.pixels // pixels)))
        return [slice(start, start + size) for start in range(0, images, size)]


@final
class TiledNetwork(nn.Module):
    """A network from y to an image `factor` times as large, evaluated on tiles that overlap by half and are blended.

    Args:
        network: called as `network(y)`.
        tile: side of a tile of the image in pixels.
        factor: of the sides of the image to those of y.

    Raises:
        ConfigError: if `tile` is less than 1.
    """

    def __init__(self, network: nn.Module, *, tile: int, factor: int = 1) -> None:
        super().__init__()
        self.network, self.factor, self.tiling = network, factor, make_tiling(None, -(-tile // factor))

    def forward(self, y: Tensor) -> Tensor:
        """Restore images from measurements `y`, (B, C, H, W)."""
        height, width = y.shape[-2:]
        x = y.new_zeros(*y.shape[:2], self.factor * height, self.factor * width)
        for rows, row_weights in self._intervals(height, y):
            for columns, column_weights in self._intervals(width, y):
                part = self.network(y[..., rows, columns])
                x[..., self._enlarge(rows), self._enlarge(columns)] += row_weights[:, None] * column_weights * part
        return x

    def _intervals(self, length: int, like: Tensor) -> list[AxisTile]:
        weights = [weight.repeat_interleave(self.factor) for weight in self.tiling.weights(length, like=like)]
        return list(zip(self.tiling.intervals(length), weights, strict=True))

    def _enlarge(self, interval: slice) -> slice:
        return slice(self.factor * interval.start, self.factor * interval.stop)


def make_tiling(locality: Locality | None, tile: int) -> AxisTiling:
    """Return the tiling of an axis for a network of known or unknown locality.

    Raises:
        ConfigError: if the side of a tile is less than 1.
    """
    if tile < 1:
        raise ConfigError(f"tile is {tile}: give the side of a tile in pixels")
    if locality is None:
        return AxisTiling(tile, overlap=max(1, tile // 2))
    return AxisTiling(tile, find_overlap(locality), locality.margin, locality.multiple)


def find_overlap(locality: Locality) -> int:
    """Return the pixels that neighbouring tiles share: the margins of both, and a ramp."""
    return round_up(2 * locality.margin + RAMP, locality.multiple)


def round_up(length: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `length`."""
    return length + -length % multiple
