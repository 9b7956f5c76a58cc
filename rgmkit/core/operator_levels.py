"""Measurements that are degraded images of a level of a forward process, as the network was trained on them."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.random import Randomness, randn, seeded

if TYPE_CHECKING:
    from rgmkit.core.prior import RestoringPrior

RTOL = 1e-3  # relative difference of two operators that count as the same
WEIGHT_ATOL = 1e-3  # a smaller weight is not worth an evaluation of the network
PROBES = 2**18  # values drawn to measure the size of embedded noise


class OperatorLevel(NamedTuple):
    """A level whose degraded images are measurements of a degradation, with white noise of std `noise`."""

    level: int
    noise: float


def find_operator_levels(prior: RestoringPrior, degradation: Degradation, x: Tensor) -> list[OperatorLevel]:
    """Find the levels whose degraded images are measurements of `degradation`, by increasing noise.

    At such a level `y_s = m_s + a_s / scale (embed(A x) - embed(A 0)) + noise`, where m_s is the level's mean of a
    black image. This is verified on the images `x`. Levels that only add noise are for denoising and are not listed.
    """
    process, black = prior.process, torch.zeros_like(x)
    gains = (process.a_by_level / prior.scale).tolist()
    contrasts: dict[int, Tensor] = {}
    for s in range(1, process.levels + 1):
        contrast = prior.level_mean(x, s) - prior.level_mean(black, s)
        if not _are_close(contrast, gains[s] * x):
            contrasts[s] = contrast
    if not contrasts:
        return []
    embedded = _embed(degradation, degradation.A(x), x)
    own = [s for s, contrast in contrasts.items() if _are_close(contrast, gains[s] * embedded)]
    gain = embedding_gain(degradation, tuple(degradation.A(x[:1]).shape[1:]))
    return sorted((OperatorLevel(s, prior.level_std(s) / gain) for s in own), key=lambda found: found.noise)


def restore_measurement(
    prior: RestoringPrior,
    y: Tensor,
    degradation: Degradation,
    levels: list[OperatorLevel],
    noise: float,
    *,
    generator: Randomness,
) -> tuple[Tensor, int]:
    """Restore images from measurements `y`, fed as the degraded images that they are; count the network evaluations.

    As in `RestoringPrior.denoise`, the estimates of the two levels around `noise` are interpolated, and no noise is
    added: raising it to that of the next level lost up to 7 dB.
    """
    black = torch.zeros(degradation.image_shape(tuple(y.shape)), device=y.device, dtype=y.dtype)
    embedded = _embed(degradation, y, black)
    z = randn((len(y), prior.latent), generator=generator, device=y.device, dtype=y.dtype)

    def restore(level: int) -> Tensor:
        gain = float(prior.process.a_by_level[level]) / prior.scale
        return prior.restore(prior.level_mean(black, level) + gain * embedded, level, z=z)

    index, weight = _interpolate(noise, [level.noise for level in levels])
    if weight == 0:
        return restore(levels[index].level), 1
    return restore(levels[index].level).lerp(restore(levels[index + 1].level), weight), 2


def _interpolate(noise: float, noises: list[float]) -> tuple[int, float]:
    """Return the index of a level and the weight of the next one, by the logarithm of the noise.

    >>> _interpolate(0.2, [0.1, 0.4]), _interpolate(0.05, [0.1, 0.4]), _interpolate(0.4001, [0.1, 0.4])
    ((0, 0.5), (0, 0.0), (1, 0.0))
    """
    place = float(np.interp(math.log(noise), np.log(noises), range(len(noises))))
    if abs(place - round(place)) <= WEIGHT_ATOL:
        return round(place), 0.0
    return math.floor(place), place % 1


def _embed(degradation: Degradation, y: Tensor, like: Tensor) -> Tensor:
    """Return `embed(y) - embed(A 0)`."""
    return degradation.embed(y) - degradation.embed(degradation.A(torch.zeros_like(like)))


def _are_close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool((one - other).norm() <= RTOL * other.norm())


@functools.lru_cache(maxsize=64)
def embedding_gain(degradation: Degradation, shape: tuple[int, ...]) -> float:
    """Return the rms over the pixels of `embed(e)` for white noise e, given the shape of one measurement.

    It is exact where each pixel comes from one value of y, since random signs are used.
    """
    probes = max(1, PROBES // math.prod(shape))
    signs = randn((probes, *shape), generator=seeded(0)).sign()
    tensor = next(degradation.buffers(), signs)
    return float(degradation.embed(signs.to(tensor.device)).square().mean().sqrt())
