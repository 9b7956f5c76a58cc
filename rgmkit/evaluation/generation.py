"""Evaluate generated images, and those of chains that start from degraded real images."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rgmkit.config import Spec, read_spec
from rgmkit.core.prior import RestoringPrior
from rgmkit.errors import ConfigError
from rgmkit.evaluation.comparison import Comparer
from rgmkit.evaluation.result import Cost, Row, average, spread
from rgmkit.inference import generate_batches
from rgmkit.plugins import load_class
from rgmkit.runtime.device import synchronize
from rgmkit.runtime.memory import check_memory
from rgmkit.runtime.progress import show_progress
from rgmkit.solvers.cascade import choose_levels

MOST_CHAINS = 8  # levels from which chains are started by default, noise included


def evaluate_generation(prior: RestoringPrior, comparer: Comparer, count: int, **options: Any) -> tuple[Row, Cost]:
    """Compare `count` images from noise with the real ones; return means over the seeds, and what they cost."""
    return _evaluate(prior, comparer, count, "noise", prior.process.levels, **options)


def evaluate_chains(
    prior: RestoringPrior,
    comparer: Comparer,
    images: Tensor,
    levels: Sequence[int] | None,
    *,
    solver: Any,
    **options: Any,
) -> list[Row]:
    """Compare the images of chains that start from degraded real images; where they get worse, a level is weak."""
    top, spec = prior.process.levels, Spec("cascade") if solver is None else read_spec(solver)
    from_noise = spec is not None and not getattr(load_class("solver", spec.name), "starts_from_images", False)
    if levels is None and from_noise:
        return []  # as Langevin dynamics, which starts from noise alone
    levels = choose_levels(top, MOST_CHAINS)[1:] if levels is None else sorted(levels, reverse=True)
    if any(not 1 <= level <= top for level in levels):
        raise ConfigError(f"levels is {list(levels)}: this prior has the levels 1 to {top}")
    if spec is None and levels:
        raise ConfigError("solver is an object, whose start cannot be changed: give its name and options, or levels=()")
    rows = []
    for level in levels:
        assert spec is not None
        start, title = Spec(spec.name, {**spec.options, "start": level}), f"chain started at level {level}"
        row, _ = _evaluate(prior, comparer, len(images), title, level, solver=start, images=images, **options)
        rows.append(row)
    return rows


def _evaluate(
    prior: RestoringPrior,
    comparer: Comparer,
    count: int,
    start: str,
    level: int,
    *,
    seeds: Sequence[int],
    **options: Any,
) -> tuple[Row, Cost]:
    """Generate `count` images of each seed and compare them."""
    found, scores, seconds = [], [], 0.0
    with count_evaluations(prior) as evaluations:
        for seed in seeds:
            images, features, spent = _generate(prior, comparer, count, title=start, seed=seed, **options)
            found.append(comparer.compare(features))
            scores.append(comparer.score(images))
            seconds += spent / len(seeds)
    row = Row(start, level, average(found), average(scores), spread(found), spread(scores))
    return row, Cost(round(evaluations() / count / len(seeds)), seconds, count / max(seconds, 1e-9))


def _generate(
    prior: RestoringPrior, comparer: Comparer, count: int, *, title: str, progress: bool, **options: Any
) -> tuple[Tensor, Tensor, float]:
    """Return the images, if the data source scores them, their features, and the seconds that the images took."""
    features, kept, seconds = [], [], 0.0
    with show_progress(title, shown=progress) as callback:
        batches = generate_batches(prior, count, callback=callback, **options)
        while True:
            start = time.perf_counter()
            images = next(batches, None)
            if images is None:
                break
            synchronize(images.device)
            seconds += time.perf_counter() - start
            features.append(comparer.features_of(images))
            if len(features) == 1:
                check_memory((count, *features[0].shape[1:]), "features of images")
            kept += [images.cpu()] if comparer.scores else []
    return torch.cat(kept) if kept else torch.empty(0), torch.cat(features), seconds


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
