"""Solve problems whose noise is not white, or differs from image to image of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from rgmkit.core.noise import Noise
from rgmkit.core.solver import Problem, Solution
from rgmkit.core.whitened import Whitened

ROUNDS = 3  # solutions of a problem whose noise depends on the signal
SMOOTHED = 5  # side in pixels of the averages from which the signal is first estimated

Solve = Callable[[Problem], Solution]


def solve_whitened(problem: Problem, solve: Solve, *, estimate: Solve) -> Solution:
    """Solve a problem with any noise by `solve`, which takes one with white noise, see `Whitened`.

    If the noise depends on the signal, its covariance is taken at the latest estimate: the problem is solved three
    times, by `estimate` but for the last (iteratively reweighted least squares).
    """
    assert problem.y is not None and problem.degradation is not None  # a restoration
    noise = problem.degradation.noise
    if not isinstance(noise, Noise):
        return solve(problem)
    if not noise.depends_on_signal:
        return solve(whiten(problem, problem.y))
    Ax, nfe, seconds = _first_signal(problem), 0, 0.0
    for _ in range(ROUNDS - 1):
        solution = estimate(whiten(problem, Ax))
        Ax, nfe, seconds = problem.degradation.A(solution.x), nfe + solution.nfe, seconds + solution.seconds
    last = solve(whiten(problem, Ax))
    return replace(last, nfe=last.nfe + nfe, seconds=last.seconds + seconds)


def whiten(problem: Problem, Ax: Tensor) -> Problem:
    """Return the same problem with white noise, given the signal at which the covariance is taken."""
    degradation, y = problem.degradation, problem.y
    assert y is not None and degradation is not None and isinstance(degradation.noise, Noise)  # see `solve_whitened`
    whitened = Whitened(degradation, degradation.noise, Ax)
    return Problem(problem.prior, problem.shape, whitened.whiten(y), whitened)


def _first_signal(problem: Problem) -> Tensor:
    """Estimate `A x` from local averages of the initial estimate."""
    assert problem.y is not None and problem.degradation is not None  # a restoration
    degradation = problem.degradation
    x = (degradation.initial_estimate if degradation.linearisable else degradation.embed)(problem.y)
    if x.ndim == 4:
        x = avg_pool2d(x, SMOOTHED, stride=1, padding=SMOOTHED // 2, count_include_pad=False)
    return degradation.A(x)


def move_solution(solution: Solution, device: torch.device) -> Solution:
    """Move the images of a solution to a device."""
    images = {name: getattr(solution, name) for name in ("x", "std", "samples")}
    return replace(solution, **{name: image.to(device) for name, image in images.items() if image is not None})


def join_solutions(parts: Sequence[Solution], groups: Sequence[Sequence[int]]) -> Solution:
    """Join the solutions of parts of a batch, given which images each has."""
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([i for group in groups for i in group]).argsort()

    def join(tensors: list[Tensor | None], axis: int = 0) -> Tensor | None:
        found = [tensor for tensor in tensors if tensor is not None]
        return torch.cat(found, axis).index_select(axis, order.to(found[0].device)) if found else None

    noises = [part.noise for part, group in zip(parts, groups, strict=True) for _ in group]
    return Solution(
        join([part.x for part in parts]),
        nfe=max(part.nfe for part in parts),
        seconds=sum(part.seconds for part in parts),
        trace=_join_traces([part.trace for part in parts], [len(group) for group in groups]),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        noise=noises[0] if all(noise is noises[0] for noise in noises) else tuple(noises[i] for i in order.tolist()),
        std=join([part.std for part in parts]),
        samples=join([part.samples for part in parts], 1),
    )


def _join_traces(traces: Sequence[list[dict[str, float]]], sizes: Sequence[int]) -> list[dict[str, float]]:
    """Join traces step by step, the last row standing for later steps: root mean square residual, else the largest."""
    joined = []
    for step in range(max(map(len, traces))):
        rows = [trace[min(step, len(trace) - 1)] for trace in traces if trace]
        row = {name: max(other[name] for other in rows if name in other) for other in rows for name in other}
        if all("residual" in other for other in rows):
            squares = sum(size * other["residual"] ** 2 for size, other in zip(sizes, rows, strict=True))
            row["residual"] = math.sqrt(squares / sum(sizes))
        joined.append(row)
    return joined
