"""Evaluate generated images, and those of chains that start from degraded real images."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rgmkit.core.prior import RestoringPrior
from rgmkit.errors import ConfigError
from rgmkit.evaluation.comparison import Comparer
from rgmkit.evaluation.result import Cost, Row, average, spread
from rgmkit.inference import generate_batches
from rgmkit.runtime.device import synchronize
from rgmkit.runtime.progress import show_progress


def evaluate_generation(
    prior: RestoringPrior,
    comparer: Comparer,
    count: int,
    seeds: Sequence[int],
    *,
    solver: Any,
    batch: int | None,
    progress: bool,
) -> tuple[Row, Cost]:
    """Compare `count` images of each seed with the real ones; return means over the seeds, and what they cost."""
    found, scores, costs = [], [], []
    for seed in seeds:
        options = {"solver": solver, "seed": seed, "batch": batch}
        metrics, score, cost = _evaluate(prior, comparer, count, progress=progress, title="generating", **options)
        found.append(metrics)
        scores.append(score)
        costs.append(cost)
    seconds = sum(each.seconds for each in costs) / len(costs)
    cost = Cost(costs[0].nfe, seconds, count / max(seconds, 1e-9))
    row = Row("noise", prior.process.levels, average(found), average(scores), spread(found), spread(scores))
    return row, cost


def evaluate_chains(
    prior: RestoringPrior,
    comparer: Comparer,
    images: Tensor,
    levels: Sequence[int] | None,
    *,
    seed: int,
    batch: int | None,
    progress: bool,
) -> list[Row]:
    """Compare the images of chains that start from degraded real images; where they get worse, a level is weak."""
    top = prior.process.levels
    levels = range(top - 1, 0, -1) if levels is None else sorted(levels, reverse=True)
    if any(not 1 <= level <= top for level in levels):
        raise ConfigError(f"levels is {list(levels)}: this prior has the levels 1 to {top}")
    rows = []
    for level in levels:
        options = {"solver": f"cascade:start={level}", "seed": seed, "batch": batch, "images": images}
        title = f"chain started at level {level}"
        metrics, score, _ = _evaluate(prior, comparer, len(images), progress=progress, title=title, **options)
        rows.append(Row(title, level, metrics, score))
    return rows


def _evaluate(
    prior: RestoringPrior, comparer: Comparer, count: int, *, progress: bool, title: str, **options: Any
) -> tuple[dict[str, float], dict[str, float], Cost]:
    features, kept, seconds = [], [], 0.0
    with show_progress(title, shown=progress) as callback, count_evaluations(prior) as evaluations:
        batches = generate_batches(prior, count, callback=callback, **options)
        while True:
            start = time.perf_counter()
            images = next(batches, None)
            if images is None:
                break
            synchronize(images.device)
            seconds += time.perf_counter() - start
            features.append(comparer.features_of(images))
            kept += [images.cpu()] if comparer.scores else []
    score = comparer.score(torch.cat(kept)) if kept else {}
    cost = Cost(round(evaluations() / count), seconds, count / max(seconds, 1e-9))
    return comparer.compare(torch.cat(features)), score, cost


@contextmanager
def count_evaluations(prior: RestoringPrior) -> Iterator[Any]:
    """Yield a function that returns how many images the network was evaluated for in the block."""
    total = 0

    def add(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        nonlocal total
        total += len(arguments[0])

    network = getattr(prior, "network", None)
    handle = network.register_forward_hook(add) if isinstance(network, nn.Module) else None
    try:
        yield lambda: total
    finally:
        if handle is not None:
            handle.remove()
