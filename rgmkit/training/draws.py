"""Draw the data and the random numbers of a step from (seed, step), whatever the number of processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

from rgmkit.core.random import randn, seeded
from rgmkit.runtime.device import copies_in_background
from rgmkit.training.setup import Run


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of a batch, and the random numbers drawn for them.

    Attributes:
        x: examples, (n, *shape).
        level: level of each degraded image, (n,), 1 … T: int64, or float if it may lie between two levels.
        noise: standard normal, for degrading the images to that level, (n, *shape).
        z: auxiliary variable of the restorer, (n, latent).
        target: level at which the estimate is compared with data, int64 (n,), 0 … T-1; 0 if with its own image.
        real, fake: standard normal, for degrading images and estimates to the target level, (n, *shape).
        dropout: seed of the random numbers drawn within the networks, one for each row.
        grey: whether the image is converted to grey, bool (n,); if so, the last rows.
    """

    x: Tensor
    level: Tensor
    noise: Tensor
    z: Tensor
    target: Tensor
    real: Tensor
    fake: Tensor
    dropout: Tensor
    grey: Tensor

    def split(self, parts: int) -> list[Batch]:
        """Split the rows into parts of equal length."""
        return self._cut(lambda values: values.chunk(parts))

    def split_grey(self) -> list[Batch]:
        """Convert the images marked to grey, and return the colour and the grey rows as two batches."""
        grey = int(self.grey.sum())
        if not grey:
            return [self]
        colour, rest = self._cut(lambda values: values.split([len(self.x) - grey, grey]))
        noises = {name: getattr(rest, name)[:, :1] for name in ("noise", "real", "fake")}
        parts = [colour, replace(rest, x=rgb_to_grayscale(rest.x), **noises)]
        return [part for part in parts if len(part.x)]

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device, except what is read on the CPU, which would have to wait for the device."""
        return self._map(lambda values: values.to(device, non_blocking=copies_in_background(device)))

    def pin(self) -> Batch:
        """Copy the batch to pinned memory, from which an accelerator copies while it computes."""
        return self._map(Tensor.pin_memory)

    def _cut(self, cut: Callable[[Tensor], Sequence[Tensor]]) -> list[Batch]:
        fields = [cut(getattr(self, name)) for name in self.__dataclass_fields__]
        return [Batch(*part) for part in zip(*fields, strict=True)]

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        names = [name for name in self.__dataclass_fields__ if name not in ("dropout", "grey")]
        return replace(self, **{name: change(getattr(self, name)) for name in names})


def draw_batch(run: Run, step: int) -> Batch:
    """Draw this process's rows of the batch of a step, on the CPU.

    Noise and levels are drawn for the whole batch before its rows are selected, so that row i is the same for any
    number of processes.
    """
    settings, shape = run.settings, tuple(run.data.shape)
    x = run.data.part(run.rows, settings.batch, seed=run.seed, step=step)
    generator = seeded(run.seed, step)
    dropout = int(torch.randint(2**62, (), generator=generator)) + torch.arange(settings.batch)
    level = draw_levels(run, generator)
    noise = randn((settings.batch, *shape), generator=generator)
    z = randn((settings.batch, getattr(run.network, "latent", 0)), generator=generator)
    in_final_steps = settings.final_steps > 0 and step >= settings.steps - settings.final_steps
    spread = 0.0 if in_final_steps else settings.spread
    target = torch.zeros_like(level).long()
    if not run.objective.compares_images:
        target = draw_target_levels(level.long() - 1, settings.clean, spread, generator)
    real, fake = (randn((settings.batch, *shape), generator=generator) for _ in range(2))
    grey = torch.arange(settings.batch) >= settings.batch - round(settings.grey * settings.batch)
    rows = torch.tensor(run.rows)
    batch = Batch(x, *(values[rows] for values in (level, noise, z, target, real, fake, dropout, grey)))
    return batch.pin() if copies_in_background(run.device) else batch


def draw_levels(run: Run, generator: torch.Generator) -> Tensor:
    """Draw a level 1 … T for each image of a batch, (B,), stratified: each batch has the levels in proportion.

    They are int64 in ascending order, or float with `between_levels`; with that or `grey` they are in random order.
    """
    weights = run.settings.level_weights or (1.0,) * run.process.levels
    bounds = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    size = run.settings.batch
    points = (torch.arange(size) + torch.rand(1, generator=generator, dtype=torch.float64)) / size
    level = torch.searchsorted(bounds / bounds[-1], points, right=True)
    level = level.clamp(max=run.process.levels - 1) + 1
    if run.settings.between_levels:
        level = level + torch.rand(size, generator=generator) * (level < run.process.levels - 1)
    elif not run.settings.grey:
        return level
    return level[torch.randperm(size, generator=generator)]


def draw_target_levels(target: Tensor, clean: float, spread: float, generator: torch.Generator) -> Tensor:
    """Draw the level at which each estimate is compared with data: its target, or a lower one.

    With probability `clean` it is 0, and otherwise with probability `spread` 0 … target. A posterior sample looks like
    data at every level, and the critic sees errors better at levels with less noise. In the published objective, both
    are 0.
    """
    if spread:
        chance, below = torch.rand(2, len(target), generator=generator)
        target = torch.where(chance < spread, (below * (target + 1)).long(), target)
    if clean:
        target = torch.where(torch.rand(len(target), generator=generator) < clean, 0, target)
    return target
