"""Choose the size of batches, and draw many samples of one restoration."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rgmkit.core.bounds import check_integer
from rgmkit.core.degradation import Degradation
from rgmkit.core.random import RESTORING, Streams
from rgmkit.core.solver import Callback, Problem, Solution, Solver, shift_steps
from rgmkit.errors import ConfigError
from rgmkit.images.array_layout import Layout
from rgmkit.runtime.device import is_accelerator
from rgmkit.solvers.posterior import Posterior

CPU_PIXELS = 2**15  # at 128 channels 8 MB of features a layer, which fit in the cache of a CPU
ACCELERATOR_PIXELS = 2**18  # about 1 GB of features over all layers
MAX_BATCH = 256
CPU_VALUES, ACCELERATOR_VALUES = 2**22, 2**24  # of the images that are restored at a time; solvers hold 20 such arrays


def choose_batch_size(shape: tuple[int, ...], device: torch.device | None = None) -> int:
    """Return how many images (C, H, W) to compute at a time: 2^15 pixels (2^18 on an accelerator), at most 256 images.

    On a CPU a larger batch is slower, since the features of a layer no longer fit in the cache.

    >>> choose_batch_size((3, 32, 32)), choose_batch_size((3, 256, 256)), choose_batch_size((2,))
    (32, 1, 256)
    """
    most = ACCELERATOR_PIXELS if is_accelerator(device) else CPU_PIXELS
    return max(1, min(MAX_BATCH, most // max(1, math.prod(shape[1:]))))


def split_stack(
    groups: Iterable[tuple[list[int], Degradation]], shape: tuple[int, ...], device: torch.device
) -> list[tuple[list[int], Degradation]]:
    """Split groups of images (C, H, W), so that the memory for restoring a group does not grow with the stack.

    A group keeps at most 2^22 values (2^24 on an accelerator), but at least one image.
    """
    most = ACCELERATOR_VALUES if is_accelerator(device) else CPU_VALUES
    size = max(1, most // max(1, math.prod(shape)))
    return [
        (rows[start : start + size], degradation) for rows, degradation in groups for start in range(0, len(rows), size)
    ]


def draw_samples(
    solver: Solver,
    problem: Problem,
    samples: int,
    *,
    seed: int,
    callback: Callback | None,
    images: Sequence[int],
) -> Solution:
    """Draw `samples` restorations of each image; return them with their mean and standard deviation.

    `Posterior` draws in pairs around one estimate. Any other solver is run `samples` times, and sample 0 is the
    restoration without `samples`; if it draws no random numbers, it runs once. Sample k of image i depends on
    (seed, i, k) alone; `images` are the indices i. As many as `choose_batch_size` allows are computed in one batch.

    Raises:
        ConfigError: if `samples` is less than 1.
    """
    check_samples(samples)
    if isinstance(solver, Posterior):
        return _draw_pairs(solver, problem, samples, images, seed, callback)
    parts: list[Solution] = []
    deterministic = False
    for i, draws, count in _batches(problem, samples):
        batch, streams = problem.repeat(len(draws)), _streams(images, seed, draws)
        before = streams.states()
        parts.append(solver.solve(batch, generator=streams, callback=shift_steps(callback, i, count)))
        if all(map(torch.equal, before, streams.states())):
            deterministic = True
            break
    notes: tuple[str, ...] = ()
    if deterministic:
        notes = (f"{type(solver).__name__} draws nothing with this prior: the {samples} samples are all the same",)
    x = torch.cat([part.x for part in parts]).unflatten(0, (-1, problem.shape[0]))
    x = x[:1].expand(samples, *x.shape[1:]) if deterministic else x
    return _summarise(x, parts, nfe=parts[0].nfe * (1 if deterministic else samples), notes=notes)


@torch.no_grad()
def _draw_pairs(
    solver: Posterior, problem: Problem, samples: int, images: Sequence[int], seed: int, callback: Callback | None
) -> Solution:
    """Draw samples 2k and 2k + 1 as the estimate plus and minus the same simulated error."""
    solver.check(problem)
    start = time.perf_counter()
    batches = list(_batches(problem, (samples + 1) // 2))
    first = solver.estimate(problem, generator=_streams(images, seed))
    errors = []
    for i, draws, count in batches:
        if callback is not None:
            callback(i + 1, count + 1, first.x)
        batch, near = problem.repeat(len(draws)), torch.cat([first.x] * len(draws))
        errors.append(solver.simulate_error(batch, near, generator=_streams(images, seed, [k + 1 for k in draws])))
    error = torch.cat([part.x for part in errors]).unflatten(0, (-1, problem.shape[0]))
    if callback is not None:
        callback(len(batches) + 1, len(batches) + 1, first.x)
    x = torch.stack([first.x + error, first.x - error], 1).flatten(0, 1)[:samples]
    nfe = first.nfe + sum(part.nfe * len(draws) for part, (_, draws, _) in zip(errors, batches, strict=True))
    return replace(_summarise(x, [first, *errors], nfe=nfe), seconds=time.perf_counter() - start)


def _batches(problem: Problem, draws: int) -> Iterator[tuple[int, range, int]]:
    """Yield the index of each batch, the draws of all images that it holds, and the number of batches."""
    assert problem.y is not None  # a restoration
    at_once = max(1, choose_batch_size(problem.shape[1:], problem.y.device) // problem.shape[0])
    starts = range(0, draws, at_once)
    for i, start in enumerate(starts):
        yield i, range(start, min(start + at_once, draws)), len(starts)


def _streams(images: Sequence[int], seed: int, draws: Iterable[int] = (0,)) -> Streams:
    return Streams(seed, images, purpose=RESTORING, draws=draws)


def _summarise(x: Tensor, parts: list[Solution], *, nfe: int, notes: tuple[str, ...] = ()) -> Solution:
    """Return the samples `x`, (N, B, ...), with their mean and standard deviation."""
    alike = bool((x[1:] == x[:1]).all())  # as a single one is
    return Solution(
        x[0] if alike else x.mean(0),
        nfe=nfe,
        seconds=sum(part.seconds for part in parts),
        trace=parts[0].trace,
        notes=tuple(dict.fromkeys((*notes, *(note for part in parts for note in part.notes)))),
        std=torch.zeros_like(x[0]) if alike else x.std(0),
        samples=x,
        prior=parts[0].prior,
        solver=parts[0].solver,
    )


def check_samples(samples: int) -> None:
    """Raise a ConfigError unless `samples` is a whole number of 1 or more."""
    if check_integer(samples, "samples") < 1:
        raise ConfigError(f"samples is {samples}: give 1 or more")


def pack_solution(solution: Solution, layout: Layout) -> Solution:
    """Convert a solution to the layout of the caller; the standard deviation stays in floats, without alpha."""
    solution = replace(solution, x=layout.pack(solution.x), notes=layout.notes + solution.notes)
    if solution.samples is None:
        return solution
    std = layout.for_std(solution.std.dtype).pack(solution.std)
    draws = [layout.pack(draw) for draw in solution.samples]
    return replace(solution, std=std, samples=_stack(draws))


def _stack(draws: list) -> object:
    if isinstance(draws[0], Tensor):
        return torch.stack(draws)
    import numpy as np

    return np.stack(draws)
