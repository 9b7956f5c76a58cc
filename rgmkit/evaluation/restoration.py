"""Degrade held-out images and restore them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.metric import Metric
from rgmkit.core.prior import Prior
from rgmkit.core.random import Streams
from rgmkit.evaluation.result import Cost, Restoration
from rgmkit.inference import restore_batch
from rgmkit.resolve import resolve_solver, usable_size
from rgmkit.runtime.modules import to_device


def evaluate_restorations(
    prior: Prior,
    images: Tensor,
    degradations: Iterable[tuple[str, Degradation]],
    metrics: Iterable[Metric],
    *,
    seed: int,
    progress: bool,
) -> list[Restoration]:
    """Restore images from each degradation with the default solver; return the means of the metrics."""
    device, found = prior.device or torch.device("cpu"), []
    for name, operator in degradations:
        degradation = to_device(operator, device)
        height, width = usable_size(degradation, tuple(images.shape))
        truth = images[..., :height, :width].to(device)
        with torch.no_grad():
            y = degradation(truth, generator=Streams(seed, range(len(truth))))
            measured = degradation.embed(y).clamp(0, 1)
        solver = resolve_solver(None, prior, degradation)
        solution = restore_batch(y, degradation, prior, solver, seed=seed, progress=progress)
        restored = solution.x.clamp(0, 1)
        after, before = (
            {metric.info.heading: float(metric(x, truth).mean()) for metric in metrics} for x in (restored, measured)
        )
        cost = Cost(solution.nfe, solution.seconds, len(truth) / max(solution.seconds, 1e-9))
        found.append(Restoration(name, len(truth), after, before, cost))
    return found
