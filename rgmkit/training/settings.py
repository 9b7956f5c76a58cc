"""The options of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rgmkit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The `training:` part of a configuration.

    Attributes:
        steps: optimiser steps of the restorer; one step of the critic comes before each.
        batch: examples per step.
        optimizer: "adam" or "muon"; for convolutional networks without normalisation, "muon" takes about half as many
            steps, each 10 to 30 % slower.
        lr: learning rate of the restorer.
        critic_lr: learning rate of the critic. Default: `lr`.
        warmup: steps over which both learning rates rise from 0.
        lr_end: final value of both learning rates, which follow a cosine schedule.
        betas: of both Adam optimisers.
        ema: decay of the exponential moving average of the weights, which the model folder stores; smaller in the
            first steps.
        fidelity: weight lambda of the fidelity term. Default: 1e-3, and 0 for an objective without a critic.
        spread: fraction of the estimates that the critic judges at a random level from 0 to their target level, where
            less noise hides their errors; 0 as published.
        final_steps: number of steps at the end without `spread`, with a second cosine of the learning rates. Best about
            the length of the average, 1/(1 - ema): averaging the weights of both phases gave better results than
            either alone.
        final_lr: learning rate of both networks at the start of the final steps.
        level_weights: relative frequencies of the levels 1 … T. Default: all equal.
        between_levels: replace each of the levels 1 … T-2 by a random number between it and the next one, for a
            network and a process that are continuous.
        grey: fraction of each batch of colour images that is converted to grey, for a network that takes both.
        precision: "bf16" computes the networks in bfloat16 where that is safe.
        compile: compile the restorer with `torch.compile`, which takes minutes before the first step on a CPU.
        accumulate: number of parts into which a batch is split to save memory (gradient accumulation).
        threads: CPU threads; small networks are fastest with one.
        workers: threads that read and decode the next batches, one batch each; with 0, each batch is read when it is
            needed. Default: 1 on a CPU, up to 4 on an accelerator.
        critic_limit: stop the training if the absolute loss of the critic, averaged over 20 steps, exceeds this.
        checkpoint_every: steps between checkpoints.
        checkpoint_minutes: minutes between checkpoints, whichever comes first; 0 counts steps only.
        keep: number of newest checkpoints to keep.
        preview_every: steps between sheets of samples; 0 for none.
    """

    steps: int = 10_000
    batch: int = 64
    optimizer: Literal["adam", "muon"] = "adam"
    lr: float = 1e-3
    critic_lr: float | None = None
    warmup: int = 0
    lr_end: float = 0.0
    betas: tuple[float, float] = (0.0, 0.99)
    ema: float = 0.999
    fidelity: float | None = None
    spread: float = 0.0
    final_steps: int = 0
    final_lr: float = 2e-4
    level_weights: tuple[float, ...] | None = None
    between_levels: bool = False
    grey: float = 0.0
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    accumulate: int = 1
    threads: int | None = None
    workers: int | None = None
    critic_limit: float = 1e4
    checkpoint_every: int = 1000
    checkpoint_minutes: float = 10.0
    keep: int = 2
    preview_every: int = 1000

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "checkpoint_every", "keep"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: give 1 or more")
        for name in (
            "lr_end", "fidelity", "critic_limit", "final_lr", "checkpoint_minutes", "preview_every", "final_steps",
            "workers", "warmup",
        ):  # fmt: skip
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}: give 0 or more")
        for name, rate in (("lr", self.lr), ("critic_lr", self.lr if self.critic_lr is None else self.critic_lr)):
            if not rate > 0:
                raise ConfigError(f"{name} is {rate:g}: give a learning rate above 0, such as 1e-3")
            if self.lr_end > rate:
                raise ConfigError(f"lr_end is {self.lr_end:g}, more than {name}, {rate:g}: give a lower end")
        if self.final_steps >= self.steps:
            raise ConfigError(f"final_steps is {self.final_steps} of {self.steps} steps: give fewer")
        if not 0 <= self.spread <= 1:
            raise ConfigError(f"spread is {self.spread}: give a fraction from 0 to 1")
        if not 0 <= self.grey < 1:
            raise ConfigError(f"grey is {self.grey}: give a fraction from 0 to below 1")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is {self.ema}: give a decay from 0 to just below 1, such as 0.999")
