"""What a step is made of: functions of (seed, step), whatever the number of processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rgmkit.core.random import randn, seeded
from rgmkit.runtime.device import copies_in_background
from rgmkit.training.setup import Run


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of a batch, and what is drawn for them.

    Attributes:
        x: examples, (n, *shape).
        level: from which each image is restored, int64 (n,), 1 … T.
        noise: standard normal, of the degraded images that are restored, (n, *shape).
        z: of the restorer, (n, latent).
        target: level at which the answer is judged, int64 (n,), 0 … T-1; 0 without a critic.
        real, fake: standard normal, of the images and the answers that are judged, (n, *shape).
        dropout: seed of what the networks draw, for each row.
    """

    x: Tensor
    level: Tensor
    noise: Tensor
    z: Tensor
    target: Tensor
    real: Tensor
    fake: Tensor
    dropout: Tensor

    def split(self, parts: int) -> list[Batch]:
        """As many parts of the rows, of equal length."""
        fields = [getattr(self, name).chunk(parts) for name in self.__dataclass_fields__]
        return [Batch(*part) for part in zip(*fields, strict=True)]

    def on(self, device: torch.device) -> Batch:
        """The same on a device; the seeds stay, since to read a number there is to wait for it."""
        return self._each(lambda values: values.to(device, non_blocking=copies_in_background(device)))

    def pinned(self) -> Batch:
        """The same in memory that an accelerator copies from while it computes."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        names = [name for name in self.__dataclass_fields__ if name != "dropout"]
        return replace(self, **{name: change(getattr(self, name)) for name in names})


def draw(run: Run, step: int) -> Batch:
    """The batch of a step: the rows of this process, on the CPU.

    Noise and levels are drawn for the whole batch, and the rows are taken out of it: row i gets the same from one
    process as from eight.
    """
    settings, shape = run.settings, tuple(run.data.shape)
    x = run.data.part(run.rows, settings.batch, seed=run.seed, step=step)
    generator = seeded(run.seed, step)
    dropout = int(torch.randint(2**62, (), generator=generator)) + torch.arange(settings.batch)
    level = stratified_levels(run, generator)
    noise = randn((settings.batch, *shape), generator=generator)
    z = randn((settings.batch, getattr(run.network, "latent", 0)), generator=generator)
    spread = settings.spread if step < settings.steps - settings.final_steps else 0.0
    target = judged_levels(level - 1, spread, generator) if run.objective.needs_critic else torch.zeros_like(level)
    real, fake = (randn((settings.batch, *shape), generator=generator) for _ in range(2))
    rows = torch.tensor(run.rows)
    batch = Batch(x, *(values[rows] for values in (level, noise, z, target, real, fake, dropout)))
    return batch.pinned() if copies_in_background(run.device) else batch


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
