"""Where a learned prior meets an image: what has to be adapted, and the words for it."""

from __future__ import annotations

import math

from torch import Tensor

from rgmkit.adapters.budget import pixels
from rgmkit.adapters.channels import ChannelByChannel, MeanOfChannels
from rgmkit.adapters.tiled import Progress, Tiled, overlap
from rgmkit.core.locality import Locality
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.errors import IncompatibleError

UNKNOWN = "; it declares no receptive field, so that this is not what the whole image would give"

Notes = tuple[str, ...]
"""For the user, what was done to make things fit."""


def fit_prior(
    prior: Prior, shape: tuple[int, ...], *, like: Tensor, tile: int | None = None, progress: Progress | None = None
) -> tuple[Prior, Notes]:
    """`prior` for a batch of images of `shape` (B, C, H, W), and what was done to it.

    A grey model takes a colour image channel by channel, a colour model a grey image by the mean of its
    channels. A network with a `Locality` is evaluated in tiles when the features of an image would not
    fit in the memory, and image by image when those of the batch would not.

    Args:
        like: a tensor on the device, and of the precision, that it is computed on.
        tile: side in pixels of the squares that an image is cut into. Default: from the memory.
        progress: called as `progress(done, count)` after each tile of an evaluation.

    Raises:
        IncompatibleError: if the model was trained on another kind of data, or the prior is no network.
        ConfigError: if `tile` is no number of pixels.
    """
    if not isinstance(prior, RestoringPrior) or len(shape) != 4:
        if tile is not None:
            raise IncompatibleError(f"tile is {tile}, and {type(prior).__name__} is no network of images: leave it out")
        prior.check_shape(shape[1:])
        return prior, ()
    trained = prior.image_shape[0] if prior.image_shape is not None and len(prior.image_shape) == 3 else shape[1]
    images = shape[0] * (shape[1] if trained == 1 else 1)
    prior, tiles = _in_tiles(prior, (images, *shape[2:]), like, tile, progress)
    prior, channels = _in_channels(prior, trained, shape)
    prior.check_shape(shape[1:])
    return prior, channels + tiles


def _in_channels(prior: RestoringPrior, trained: int, shape: tuple[int, ...]) -> tuple[RestoringPrior, Notes]:
    channels, height, width = shape[1:]
    if trained == 1 and channels > 1:
        note = f"the model was trained on grey images: each of the {channels} channels is restored on its own"
        return ChannelByChannel(prior, channels=channels), (note,)
    if trained == 3 and channels == 1:
        note = "the model was trained on colour images: it sees the grey image as three equal channels"
        return MeanOfChannels(prior, size=(height, width)), (note,)
    return prior, ()


def _in_tiles(
    prior: RestoringPrior, shape: tuple[int, ...], like: Tensor, tile: int | None, progress: Progress | None
) -> tuple[RestoringPrior, Notes]:
    images, height, width = shape
    if prior.locality is None:
        tiled = Tiled(prior, side=max(height, width) if tile is None else tile, progress=progress)
        several = tiled.shape(height, width)[0] > 1
        return (tiled, (_note(tiled, height, width) + UNKNOWN,)) if several else (prior, ())
    most = pixels(prior.locality, dtype=like.dtype, device=like.device)
    side = _side(prior.locality, most, height, width) if tile is None else tile
    tiled = Tiled(prior, side=side, pixels=most, progress=progress)
    if tiled.shape(height, width)[0] > 1:
        return tiled, (_note(tiled, height, width),)
    return (prior if images * height * width <= most else tiled), ()


def _side(locality: Locality, most: int, height: int, width: int) -> int:
    """Of the largest tiles that have `most` pixels with their overlap, though never smaller than that overlap."""
    if height * width <= most:
        return max(height, width)
    shared = overlap(locality)
    return max(math.isqrt(most) - locality.multiple - shared, shared)


def _note(tiled: Tiled, height: int, width: int) -> str:
    count, rows, columns = tiled.shape(height, width)
    return (
        f"the network sees the image in {count} tiles of {rows} x {columns} pixels (height x width), "
        f"which overlap by {tiled.cut.overlap}"
    )
