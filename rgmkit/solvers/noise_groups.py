"""Solve problems whose noise is not white, or differs from image to image of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from rgmkit.core.noise import Noise, Stabiliser
from rgmkit.core.random import seeded
from rgmkit.core.solver import Callback, Problem, Solution, shift_steps
from rgmkit.solvers.noise_levels import Solve, sample_std, solve_at

RTOL = 1e-4  # relative difference up to which an operator commutes with a transform
SMOOTHED = 5  # side in pixels of the averages from which the signal is first estimated


def solve_any_noise(problem: Problem, solve: Solve, *, estimate: Solve, callback: Callback | None) -> Solution:
    """Solve a problem with any noise by `solve`, which takes one with white noise, see `solve_at`.

    If the noise depends on the signal, its covariance is first taken at local averages of the initial estimate, and
    then at a first solution, by `estimate` (iteratively reweighted least squares). But if a transform of the values
    makes the noise white, and A commutes with it, as in denoising and inpainting, the transformed image is restored.
    """
    assert problem.y is not None and problem.degradation is not None  # a restoration
    noise = problem.degradation.noise
    if not isinstance(noise, Noise):
        return solve(problem, callback)
    if not noise.depends_on_signal:
        return solve_at(problem, problem.y[:1], solve, callback)  # the covariance is the same for all images
    stabiliser = noise.stabiliser()
    if stabiliser is not None and _commute(problem, stabiliser):
        return _solve_stabilised(problem, stabiliser, solve, callback)
    first = solve_at(problem, _first_signal(problem), estimate, shift_steps(callback, 0, 2), rough=True)
    last = solve_at(problem, problem.degradation.A(first.x), solve, shift_steps(callback, 1, 2))
    return replace(last, nfe=first.nfe + last.nfe, seconds=first.seconds + last.seconds)


def _commute(problem: Problem, stabiliser: Stabiliser) -> bool:
    """Tell whether a linear A maps transformed images to transformed measurements."""
    y, degradation = problem.y, problem.degradation
    assert y is not None and degradation is not None  # a restoration
    if not degradation.linear or y.is_complex():
        return False
    x = torch.rand(1, *problem.shape[1:], generator=seeded(0)).to(y)
    wanted = stabiliser.forward(degradation.A(x))
    return bool((degradation.A(stabiliser.forward(x)) - wanted).norm() <= RTOL * wanted.norm())


def _solve_stabilised(problem: Problem, stabiliser: Stabiliser, solve: Solve, callback: Callback | None) -> Solution:
    """Solve a problem in terms of the transformed image."""
    y, degradation = problem.y, problem.degradation
    assert y is not None and degradation is not None  # a restoration
    white = Problem(problem.prior, problem.shape, stabiliser.forward(y), degradation.with_noise(stabiliser.std))
    show = None if callback is None else lambda step, steps, x: callback(step, steps, stabiliser.inverse(x))
    found = solve(white, show)
    if found.samples is None:
        return replace(found, x=stabiliser.inverse(found.x))
    samples = stabiliser.inverse(found.samples)
    return replace(found, x=samples.mean(0), samples=samples, std=sample_std(samples))


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
        prior=parts[0].prior,
        solver=parts[0].solver,
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
