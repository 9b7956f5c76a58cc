"""Restore images whose noise differs from pixel to pixel: one restoration for each of a few noise levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from rgmkit.core.degradation import Degradation
from rgmkit.core.noise import FixedNoise, Noise
from rgmkit.core.random import randn, seeded
from rgmkit.core.scale import OperatorScale, measure_scale
from rgmkit.core.solver import Callback, Problem, Solution, shift_steps
from rgmkit.core.start import backproject
from rgmkit.core.whitened import Whitened, drop_dead

LEVELS, RATIO = 8, 1.5  # most noise levels, and the largest ratio of successive ones, unless that takes more
SAME = 1.05  # ratio of stds that may share a level
WINDOW = 21  # side in pixels of the averages that tell whether one level suffices
TAIL = 0.01  # fraction of the pixels, at either end, that may have other noise then
LEAST_POWER = 1e-2  # of a frequency of the noise, relative to the mean: less is taken as this
POSITIVE = 0.1  # fraction of the outputs that must respond to a white image for a map of the noise in the image

Solve = Callable[[Problem, "Callback | None"], Solution]
"""`solve(problem, callback)`, for a problem with white noise."""


def solve_at(problem: Problem, Ax: Tensor, solve: Solve, callback: Callback | None, *, rough: bool = False) -> Solution:
    """Solve a problem with the covariance of its noise taken at the signal `Ax`, by `solve` for white noise.

    Independent noise of differing std is whitened by `W = s / std`, with `s^-2` the mean of `std^-2`. The solver is
    told the noise s and the scale of A itself, whose mean squared singular value is multiplied by the mean of
    min(1, W^2). Stationary noise is whitened alike, frequency by frequency.

    Where s, computed in windows, differs by more than a factor of 1.5 within the image, any weight or std of a solver
    suits some of its pixels only. The problem is then solved for a few noise levels s_k, in geometric sequence, with
    `W_k = min(1, s_k / std)` and the scale of A; the solutions are interpolated at each pixel by the logarithm of
    its std. They are found from the noisiest down, and each starts from the previous ones at noisier pixels.

    With `rough` the problem is solved once, for a first estimate.
    """
    noise, degradation, y = _parts(problem)
    power = noise.power(Ax)
    if degradation.linear and power is not None:
        return solve(_whiten_stationary(problem, power, Ax), callback)
    if noise.correlated or not degradation.linear:
        return solve(_whiten(problem, Whitened(degradation, noise, Ax)), callback)
    std = noise.whiten(torch.ones_like(Ax), Ax).reciprocal()
    alive = drop_dead(degradation, std)
    scale, weights = measure_scale(alive, problem.shape, y), std[std.isfinite()] ** -2
    at_pixels = None if rough else find_std_map(alive, std, problem.shape)
    if at_pixels is None or not differs(at_pixels):
        share, excess = float((weights / weights.mean()).clamp(max=1).mean()), float(weights.max() / weights.mean())
        scale = replace(scale, mean_gain=share * scale.mean_gain, excess=excess)
        whitened = Whitened(degradation, FixedNoise(std), Ax, unit=float(weights.mean() ** -0.5))
        return solve(_whiten(problem, whitened, scale), callback)
    levels, parts = choose_levels(at_pixels), list[Solution]()
    guess: tuple[Tensor, Tensor] | None = None
    for k in reversed(range(len(levels))):
        whitened = Whitened(degradation, FixedNoise(std.clamp(min=levels[k])), Ax, guess=guess)
        follow = shift_steps(callback, len(parts), len(levels))
        parts.insert(0, solve(_whiten(problem, whitened, scale), follow))
        if k > 0:
            noisier = (at_pixels / levels[k - 1]).log() / math.log(levels[k] / levels[k - 1])
            guess = _blend(parts, _interpolate(at_pixels, levels[k:])).x, noisier.clamp(0, 1)
    return _blend(parts, _interpolate(at_pixels, levels))


def _whiten(problem: Problem, whitened: Whitened, scale: OperatorScale | None = None) -> Problem:
    """Return the problem with white noise; `scale` replaces that of the whitened operator."""
    white = Problem(problem.prior, problem.shape, whitened.whiten(_parts(problem)[2]), whitened)
    if scale is not None:
        vars(white)["scale"] = scale
    return white


def _whiten_stationary(problem: Problem, power: Tensor, Ax: Tensor) -> Problem:
    """Return the problem with white noise, given the power spectrum S of the noise: `W = s / sqrt(S)`.

    s^2 is the geometric mean of S over the frequencies, weighted by what A passes of white noise.
    """
    noise, degradation, y = _parts(problem)
    passed = degradation.A(randn((1, *problem.shape[1:]), generator=seeded(0), dtype=y.real.dtype).to(y.device))
    weights = torch.fft.fft2(passed).abs().double().square().sum((0, 1))
    weights, variances = weights / weights.sum(), power.double().clamp(min=LEAST_POWER * float(power.mean()))
    variance = float((weights * variances.log()).sum().exp())
    share = float((weights * (variance / variances).clamp(max=1)).sum())
    scale = measure_scale(degradation, problem.shape, y)
    scale = replace(scale, mean_gain=share * scale.mean_gain, excess=variance / float(variances.min()))
    return _whiten(problem, Whitened(degradation, noise, Ax, unit=math.sqrt(variance)), scale)


def differs(std: Tensor) -> bool:
    """Tell whether the noise std of an image, where it is averaged over windows, differs by more than `RATIO`."""
    information = avg_pool2d(std.double() ** -2, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)
    values = np.quantile(information.cpu().numpy(), [TAIL, 1 - TAIL])
    return bool(values[1] > RATIO**2 * values[0])


def find_std_map(alive: Degradation, std: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Return the noise std at each pixel of images of `shape`: the average over their measurements, weighted by A.

    None if these are not images, or the measurements are not averages of pixels, as in k-space.

    Args:
        alive: A, with 0 where `std` is infinite.
        std: of the noise of each value.
        shape: of the images.
    """
    if len(shape) != 4 or std.is_complex():
        return None
    white = alive.A(std.new_ones(1, *shape[1:]))
    if white.is_complex() or float((white > white.abs().max() / 2).float().mean()) < POSITIVE:
        return None
    finite = std.isfinite()
    found = backproject(alive, std.where(finite, 0) * white)
    return found.clamp(float(std[finite].min()), float(std[finite].max()))


def choose_levels(std: Tensor) -> list[float]:
    """Choose noise levels, increasing: the stds of a map if they are few, else a geometric sequence.

    >>> choose_levels(torch.tensor([0.1, 0.4, 0.1])), len(choose_levels(torch.linspace(0.1, 0.5, 50)))
    ([0.1, 0.4], 5)
    """
    found = np.unique([float(f"{value:.4g}") for value in torch.unique(std.float()).tolist()])
    low, high = float(found[0]), float(found[-1])
    count = min(LEVELS, math.ceil(math.log(high / low) / math.log(RATIO)) + 1)
    groups = np.unique((np.log(found / low) / math.log(SAME)).round(), return_index=True)[1]
    if len(groups) > count:
        return [float(f"{value:.4g}") for value in np.geomspace(low, high, count)]
    return [*found[groups[:-1]].tolist(), high]


def _interpolate(std: Tensor, levels: Sequence[float]) -> list[Tensor]:
    """Return the weight of each level at each pixel: hat functions of the logarithm of the std; their sum is 1."""
    x, knots = std.log(), [math.log(level) for level in levels]
    x = x.clamp(knots[0], knots[-1])
    weights = []
    for k, knot in enumerate(knots):
        up = (x - knots[k - 1]) / (knot - knots[k - 1]) if k > 0 else torch.ones_like(x)
        down = (knots[k + 1] - x) / (knots[k + 1] - knot) if k + 1 < len(knots) else torch.ones_like(x)
        weights.append(torch.minimum(up, down).clamp(0, 1))
    return weights


def sample_std(samples: Tensor) -> Tensor:
    """Return the standard deviation over samples (N, ...), 0 for a single one."""
    return samples.std(0) if len(samples) > 1 else torch.zeros_like(samples[0])


def _blend(parts: Sequence[Solution], weights: Sequence[Tensor]) -> Solution:
    """Average solutions with weights for each pixel; the trace is that of the first."""

    def average(tensors: Sequence[Tensor]) -> Tensor:
        return torch.stack([weight * x for weight, x in zip(weights, tensors, strict=True)]).sum(0)

    samples = None if parts[0].samples is None else average([part.samples for part in parts])
    return replace(
        parts[0],
        x=average([part.x for part in parts]),
        samples=samples,
        std=None if samples is None else sample_std(samples),
        nfe=sum(part.nfe for part in parts),
        seconds=sum(part.seconds for part in parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _parts(problem: Problem) -> tuple[Noise, Degradation, Tensor]:
    degradation, y = problem.degradation, problem.y
    assert y is not None and degradation is not None and isinstance(degradation.noise, Noise)  # see `solve_any_noise`
    return degradation.noise, degradation, y
