"""Adapt a network to the channels and the size of an image, with notes on what was done."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rgmkit.adapters.channels import COLOUR_MODEL, ChannelByChannel, MeanOfChannels
from rgmkit.adapters.tiled import Progress, Tiled, TiledNetwork, find_overlap
from rgmkit.core.inverse_network import InverseNetwork
from rgmkit.core.locality import Locality
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.errors import IncompatibleError
from rgmkit.runtime.device import free_memory, is_accelerator

MAX_BYTES, ACCELERATOR_MAX_BYTES = 2**30, 2**32  # of features; larger tiles hardly save time
MEMORY_SHARE = 0.5  # of the free memory, for features
BETTER_APART = "; if red, green and blue are among them, these three are better restored as a picture of their own"
NO_RECEPTIVE_FIELD = "; it declares no receptive field, so that the result differs from that of the whole image"

Notes = tuple[str, ...]
"""What was adapted, in sentences for the user."""


def fit_prior(
    prior: Prior, shape: tuple[int, ...], *, like: Tensor, tile: int | None = None, progress: Progress | None = None
) -> tuple[Prior, Notes]:
    """Adapt `prior` to a batch of images of `shape` (B, C, H, W); return it with notes for the user.

    A model that takes the image's number of channels is applied as it is. Otherwise a grey model is applied to each
    channel (`ChannelByChannel`), and a colour model to a grey image by `MeanOfChannels`, or so to each of several
    channels. A network with a `Locality` is evaluated in tiles if the features of one image would not fit in memory,
    and on a few images at a time if those of the whole batch would not.

    Args:
        like: a tensor with the device and the dtype of the computation.
        tile: side of the tiles in pixels. Default: by the free memory.
        progress: called as `progress(done, count)` after each tile of an evaluation.

    Raises:
        IncompatibleError: if the model was trained on another kind of data, or `tile` is given with a prior that is
            not a network.
        ConfigError: if `tile` is less than 1.
    """
    if isinstance(prior, InverseNetwork):
        return _fit_inverse(prior, shape, tile)
    if not isinstance(prior, RestoringPrior) or len(shape) != 4:
        if tile is not None:
            raise IncompatibleError(f"tile is {tile}, and {type(prior).__name__} is not a network: leave it out")
        prior.check_shape(shape[1:])
        return prior, ()
    notes = prior.notes
    by_channel = {1, 3} & set(prior.channels) and shape[1] not in {1, *prior.channels}
    prior, tiles = _tile(prior, (shape[0] * (shape[1] if by_channel else 1), *shape[2:]), like, tile, progress)
    prior, channels = _adapt_channels(prior, shape)
    prior.check_shape(shape[1:])
    return prior, notes + channels + tiles


def _fit_inverse(prior: InverseNetwork, shape: tuple[int, ...], tile: int | None) -> tuple[Prior, Notes]:
    notes = prior.notes
    if shape[1] != prior.channels:
        notes += (f"{prior.title} takes {prior.channels} channels: each channel is restored on its own",)
    if tile is None or tile >= max(shape[2:]):
        return prior, notes
    network = TiledNetwork(prior.network, tile=tile, factor=prior.factor)
    fitted = InverseNetwork(network=network, factor=prior.factor, channels=prior.channels, title=prior.title)
    return fitted, (*notes, f"{prior.title} restores the image in tiles of {tile} pixels{NO_RECEPTIVE_FIELD}")


def _adapt_channels(prior: RestoringPrior, shape: tuple[int, ...]) -> tuple[RestoringPrior, Notes]:
    channels, height, width = shape[1:]
    if channels in prior.channels:
        return prior, ()
    if 1 in prior.channels:
        known = " and ".join(name for count, name in ((1, "grey"), (3, "colour")) if count in prior.channels)
        note = f"the model was trained on {known} images: each of the {channels} channels is restored on its own"
        if 3 in prior.channels:
            note += BETTER_APART
        elif channels == 3:
            note += f"; for colour photographs {COLOUR_MODEL} is better"
        return ChannelByChannel(prior, channels=channels), (note,)
    if 3 in prior.channels and channels == 1:
        note = "the model was trained on colour images: it gets the grey image as three equal channels"
        return MeanOfChannels(prior, size=(height, width)), (note,)
    if 3 in prior.channels:
        note = f"the model was trained on colour images: each of the {channels} channels is restored as grey"
        return ChannelByChannel(MeanOfChannels(prior, size=(height, width)), channels=channels), (note + BETTER_APART,)
    return prior, ()


def _tile(
    prior: RestoringPrior, shape: tuple[int, ...], like: Tensor, tile: int | None, progress: Progress | None
) -> tuple[RestoringPrior, Notes]:
    images, height, width = shape
    if prior.locality is None:
        tiled = Tiled(prior, tile=max(height, width) if tile is None else tile, progress=progress)
        several = tiled.shape(height, width)[0] > 1
        return (tiled, (_describe(tiled, height, width) + NO_RECEPTIVE_FIELD,)) if several else (prior, ())
    budget = _max_pixels(prior.locality, dtype=like.dtype, device=like.device)
    tile = _choose_tile(prior.locality, budget, height, width) if tile is None else tile
    tiled = Tiled(prior, tile=tile, pixels=budget, progress=progress)
    if tiled.shape(height, width)[0] > 1:
        return tiled, (_describe(tiled, height, width),)
    return (prior if images * height * width <= budget else tiled), ()


def _choose_tile(locality: Locality, budget: int, height: int, width: int) -> int:
    """Return the largest side with which a tile and its overlap have at most `budget` pixels; at least the overlap."""
    if height * width <= budget:
        return max(height, width)
    overlap = find_overlap(locality)
    return max(math.isqrt(budget) - locality.multiple - overlap, overlap)


def _max_pixels(locality: Locality, *, dtype: torch.dtype, device: torch.device) -> int:
    """Return the number of pixels whose features fit in half of the free memory, up to 1 GiB (4 GiB on accelerators).

    Where that much memory is free, the number depends on the network alone, so that results are reproducible.
    """
    budget = min(MEMORY_SHARE * free_memory(device), ACCELERATOR_MAX_BYTES if is_accelerator(device) else MAX_BYTES)
    return max(1, int(budget / (locality.floats_per_pixel * dtype.itemsize)))


def _describe(tiled: Tiled, height: int, width: int) -> str:
    count, rows, columns = tiled.shape(height, width)
    return (
        f"the network restores the image in {count} tiles of {rows} x {columns} pixels (height x width), "
        f"which overlap by {tiled.tiling.overlap}"
    )
