"""Find out by trial whether a network denoises, and the noise that it is for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rgmkit.core.random import randn, seeded

SIDE, BORDER = 64, 12  # pixels of the test pictures, and of their edges that are left out
FIRST, LAST, RATIO, HALVINGS = 1.5 / 255, 80 / 255, 1.4, 4  # range, steps and refinement of the search for the std
FLAT = 0.25  # most noise that a denoiser leaves on grey, as a share
RISE = 1.25  # of that share, over the least one, where the noise exceeds that of the training
NAMED = 0.15  # largest relative difference from the std in a file's name to count as the same
HELP, CONTRAST = 0.9, 0.6  # most error that it leaves on a photograph: shares of the noise, and of the contrast
WEAK = 4.0  # a blind denoiser also helps where the noise is weaker by this factor

Denoise = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class DenoiserNoise:
    """The largest noise std that a denoiser is for, and whether it also is for less (blind)."""

    std: float
    blind: bool


@torch.no_grad()
def find_noise(denoise: Denoise, channels: int, name: str) -> DenoiserNoise | None:
    """Find the noise std that a denoiser was trained for; None if it does not denoise.

    On a grey picture a denoiser leaves hardly any noise, up to the std that it was trained for and not beyond. On a
    photograph a blind one also helps where the noise is much weaker, and one for a single std removes details there.
    Where the file's `name` has a number (of 255) close to the std found, that is taken.
    """
    grey, photograph = torch.full((1, channels, SIDE, SIDE), 0.5), _photograph(channels)

    def left_on_grey(std: float) -> float:
        return _measure_error(denoise, grey, std) / std

    stds = [min(FIRST * RATIO**i, LAST) for i in range(1 + math.ceil(math.log(LAST / FIRST) / math.log(RATIO)))]
    left = [left_on_grey(std) for std in stds]
    bound = RISE * min(left)
    best = max(i for i, share in enumerate(left) if share <= bound)
    std = stds[best]
    if best < len(stds) - 1:
        std = _bisect(lambda std: left_on_grey(std) <= bound, std, stds[best + 1])
    error = _measure_error(denoise, photograph, std)
    if min(left) > FLAT or error > min(HELP * std, CONTRAST * float(photograph.std())):
        return None
    named = [int(number) / 255 for number in re.findall(r"\d+", name)]
    std = next((value for value in named if abs(value / std - 1) < NAMED), std)
    return DenoiserNoise(std, _measure_error(denoise, photograph, std / WEAK) < std / WEAK)


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _measure_error(denoise: Denoise, x: Tensor, std: float) -> float:
    """Return the root mean square error that a denoiser leaves of noise, away from the edges."""
    noisy = x + std * randn(x.shape, generator=seeded(0), device=x.device, dtype=x.dtype)
    error = (denoise(noisy) - x)[..., BORDER:-BORDER, BORDER:-BORDER]
    return float(error.square().mean().sqrt())


def _photograph(channels: int) -> Tensor:
    """Return a detailed part of the cameraman, with equal channels."""
    from skimage.data import camera

    part = torch.from_numpy(camera()[100 : 100 + 2 * SIDE : 2, 200 : 200 + 2 * SIDE : 2] / 255).float()
    return part.expand(1, channels, SIDE, SIDE)
