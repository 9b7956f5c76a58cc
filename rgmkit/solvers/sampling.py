"""Choose the size of batches, and draw many samples of one restoration."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from rgmkit.core.random import RESTORING, Streams
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.images.array_layout import Layout
from rgmkit.runtime.device import is_accelerator

CPU_PIXELS = 2**15  # at 128 channels 8 MB of features a layer, which fit in the cache of a CPU
ACCELERATOR_PIXELS = 2**18  # about 1 GB of features over all layers
MAX_BATCH = 256


def choose_batch_size(shape: tuple[int, ...], device: torch.device | None = None) -> int:
    """Return how many images (C, H, W) to compute at a time: 2^15 pixels (2^18 on an accelerator), at most 256 images.

    On a CPU a larger batch is slower, since the features of a layer no longer fit in the cache.

    >>> choose_batch_size((3, 32, 32)), choose_batch_size((3, 256, 256)), choose_batch_size((2,))
    (32, 1, 256)
    """
    most = ACCELERATOR_PIXELS if is_accelerator(device) else CPU_PIXELS
    return max(1, min(MAX_BATCH, most // max(1, math.prod(shape[1:]))))


def shift_steps(callback: Callback | None, i: int, count: int) -> Callback | None:
    """Wrap a callback so that the steps of batch `i` of `count` are counted over all batches."""
    if callback is None:
        return None
    return lambda step, steps, x: callback(i * steps + step, count * steps, x)


def draw_samples(solver: Solver, problem: Problem, samples: int, *, seed: int, callback: Callback | None) -> Solution:
    """Draw `samples` restorations of each image; return them with their mean and standard deviation.

    Sample k of image i depends on (seed, i, k) alone, and sample 0 is the restoration without `samples`. As many as
    `choose_batch_size` allows are computed in one batch. If the solver draws no random numbers, it runs once.

    Raises:
        ConfigError: if `samples` is less than 1.
    """
    check_samples(samples)
    assert problem.y is not None  # a restoration
    y, n = problem.y, len(problem.y)
    at_once = max(1, choose_batch_size(problem.shape[1:], y.device) // n)
    starts = range(0, samples, at_once)
    parts: list[Solution] = []
    deterministic = False
    for i, start in enumerate(starts):
        draws = range(start, min(start + at_once, samples))
        batch = problem.repeat(len(draws))
        streams = Streams(seed, range(n), purpose=RESTORING, draws=draws)
        before = streams.states()
        parts.append(solver.solve(batch, generator=streams, callback=shift_steps(callback, i, len(starts))))
        if all(map(torch.equal, before, streams.states())):
            deterministic = True
            break
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    if deterministic:
        alike = f"{type(solver).__name__} draws nothing with this prior: the {samples} samples are all the same"
        notes = (alike, *notes)
    x = torch.cat([part.x for part in parts]).unflatten(0, (-1, n))
    x = x[:1].expand(samples, *x.shape[1:]) if deterministic else x
    return Solution(
        x[0] if deterministic else x.mean(0),
        nfe=parts[0].nfe * (1 if deterministic else samples),
        seconds=sum(part.seconds for part in parts),
        trace=parts[0].trace,
        notes=notes,
        std=torch.zeros_like(x[0]) if deterministic or samples == 1 else x.std(0),
        samples=x,
    )


def check_samples(samples: int) -> None:
    """Raise a ConfigError if `samples` is less than 1."""
    if samples < 1:
        raise ConfigError(f"samples is {samples}: give 1 or more")


def pack_solution(solution: Solution, layout: Layout) -> Solution:
    """Convert a solution to the layout of the caller; the standard deviation stays in floats, without alpha."""
    x = layout.pack(solution.x)
    if solution.samples is None:
        return replace(solution, x=x)
    std = replace(layout, dtype=solution.std.dtype, alpha=None).pack(solution.std)
    draws = [layout.pack(draw) for draw in solution.samples]
    return replace(solution, x=x, std=std, samples=_stack(draws))


def _stack(draws: list) -> object:
    if isinstance(draws[0], Tensor):
        return torch.stack(draws)
    import numpy as np

    return np.stack(draws)
