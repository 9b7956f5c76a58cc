"""Infer the options of `ncsnpp` from the names and shapes of its weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from rgmkit.errors import CheckpointError
from rgmkit_gan.networks.ncsnpp.resampling import RESAMPLERS

ATTENDED = 16  # resolution at which published networks have attention, in pixels
COARSEST = 4  # coarsest resolution, in pixels, of published networks without attention
FIRST = 3  # layers before the first block: two for the level, the input convolution
PYRAMIDS = {resampler.strided: name for name, resampler in RESAMPLERS.items()}
"""The resampling that uses a layer of the input pyramid, by the name of the layer."""
AXES = {"all_modules.0.weight": 2, "all_modules.1.weight": 2, "all_modules.2.weight": 4, "z_transform.1.weight": 2}
"""Number of axes of weights that every network has."""


def read_weights(weights: Mapping[str, Tensor], side: int | None) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Infer the options of the network that `weights` belong to, and the shape of its images.

    Names and shapes determine all options except dropout, but not the side of the images: without `side` it is
    assumed to be the one for which attention is at 16x16 pixels.

    Raises:
        CheckpointError: if these are not the weights of an `ncsnpp` restorer.
    """
    kinds = list(_layer_kinds(weights))
    scales = sum(kind in PYRAMIDS for kind in kinds) + 1
    blocks, rest = divmod(kinds.count("block") - 3 * scales, 2 * scales)
    if rest or blocks < 1:
        raise CheckpointError(
            f"it has {kinds.count('block')} residual blocks, which do not make a network of {scales} scales"
        )
    width, channels = weights["all_modules.2.weight"].shape[:2]
    multipliers, attended = _scales(weights, kinds, blocks, scales, int(width))
    if side is None:
        side = ATTENDED * 2 ** attended[0] if attended else COARSEST * 2 ** (scales - 1)
    style, latent = weights["z_transform.1.weight"].shape
    options = {
        "width": int(width),
        "multipliers": multipliers,
        "blocks": blocks,
        "attention": [-(-side // 2**i) for i in attended],
        "latent": int(latent),
        "style": int(style),
        "style_layers": sum(re.fullmatch(r"z_transform\.\d+\.weight", name) is not None for name in weights) - 1,
        "resampling": next((PYRAMIDS[kind] for kind in kinds if kind in PYRAMIDS), "fir"),
    }
    return options, (int(channels), side, side)


def _layer_kinds(weights: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the kind of each layer from the first block on."""
    if any(name not in weights or weights[name].ndim != n or 0 in weights[name].shape for name, n in AXES.items()):
        is_discriminator = "start_conv.weight" in weights
        other = f"a network other than ncsnpp, the first is {next(iter(weights), None)}"
        what = "a discriminator: give the file of the generator" if is_discriminator else other
        raise CheckpointError(f"its weights are those of {what}")
    marks = {"Dense_0.weight": "block", "NIN_0.W": "attention", **{f"{name}.weight": name for name in PYRAMIDS}}
    last = max(int(name.split(".")[1]) for name in weights if re.match(r"all_modules\.\d+\.", name))
    for i in range(FIRST, last + 1):
        yield next((kind for mark, kind in marks.items() if f"all_modules.{i}.{mark}" in weights), "other")


def _scales(
    weights: Mapping[str, Tensor], kinds: list[str], blocks: int, scales: int, width: int
) -> tuple[list[int], list[int]]:
    """Return the multipliers of the scales on the way down, and the scales that have attention."""
    multipliers, attended, at = [], [], 0
    for scale in range(scales):
        multipliers.append(_multiplier(weights, FIRST + at, width))
        attends = kinds[at + 1 : at + 2] == ["attention"]
        if attends:
            attended.append(scale)
        at += blocks * (1 + attends) + 2  # the block that halves the resolution, and the input pyramid
    return multipliers, attended


def _multiplier(weights: Mapping[str, Tensor], layer: int, width: int) -> int:
    weight = weights.get(f"all_modules.{layer}.Conv_0.weight")
    multiplier, rest = divmod(weight.shape[0], width) if weight is not None and weight.ndim == 4 else (0, 0)
    if rest or multiplier < 1:
        raise CheckpointError(f"layer all_modules.{layer} is not a residual block with a multiple of {width} channels")
    return multiplier
