"""All that is random in a step: functions of (seed, step), whatever the number of processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rgmkit.core.random import randn, seeded
from rgmkit.training.setup import Run


@dataclass(frozen=True, eq=False)
class Draws:
    """What is drawn for some rows of a batch.

    Attributes:
        level: from which each image is restored, int64 (n,), 1 … T.
        noise: standard normal, of the degraded images that are restored, (n, *shape).
        z: of the restorer, (n, latent).
        target: level at which the answer is judged, int64 (n,), 0 … T-1; 0 without a critic.
        real, fake: standard normal, of the images and the answers that are judged, (n, *shape).
        dropout: seed of what the networks draw, for each row.
    """

    level: Tensor
    noise: Tensor
    z: Tensor
    target: Tensor
    real: Tensor
    fake: Tensor
    dropout: Tensor

    def split(self, parts: int) -> list[Draws]:
        """The draws of as many parts of the rows, of equal length."""
        fields = [getattr(self, name).chunk(parts) for name in self.__dataclass_fields__]
        return [Draws(*part) for part in zip(*fields, strict=True)]


def draw(run: Run) -> Draws:
    """The draws of the next step, for the rows of this process.

    Each is made for the whole batch, and the rows are taken out of it: row i gets the same from one process
    as from eight.
    """
    settings, shape, step = run.settings, tuple(run.data.shape), run.step
    generator = seeded(run.seed, step)
    dropout = int(torch.randint(2**62, (), generator=generator)) + torch.arange(settings.batch)
    level = stratified_levels(run, generator)
    noise = randn((settings.batch, *shape), generator=generator)
    z = randn((settings.batch, getattr(run.network, "latent", 0)), generator=generator)
    spread = settings.spread if step < settings.steps - settings.final_steps else 0.0
    target = judged_levels(level - 1, spread, generator) if run.objective.needs_critic else torch.zeros_like(level)
    real, fake = (randn((settings.batch, *shape), generator=generator) for _ in range(2))
    rows = torch.tensor(run.rows)
    level, noise, z, target, real, fake = (
        values[rows].to(run.device) for values in (level, noise, z, target, real, fake)
    )
    return Draws(level, noise, z, target, real, fake, dropout[rows])


def stratified_levels(run: Run, generator: torch.Generator) -> Tensor:
    """A level 1 … T for each image of a batch, int64 (B,): in their proportions in every single batch."""
    weights = run.settings.level_weights or (1.0,) * run.process.levels
    bounds = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    size = run.settings.batch
    points = (torch.arange(size) + torch.rand(1, generator=generator, dtype=torch.float64)) / size
    level = torch.searchsorted(bounds / bounds[-1], points, right=True)
    return level.clamp(max=run.process.levels - 1) + 1


def judged_levels(target: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """The level at which each answer is compared with data: its target, or for a share `spread` one drawn from 0 … it.

    An answer that is a draw of the posterior looks like data at every level, also at those with less
    noise, where the critic sees more of it (as the published objective has it, spread is 0).
    """
    if spread == 0:
        return target
    chance, below = torch.rand(2, len(target), generator=generator)
    return torch.where(chance < spread, (below * (target + 1)).long(), target)
