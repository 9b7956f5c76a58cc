"""The options of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rgmkit.core.bounds import BelowOne, Count, CountOrZero, Fraction, NonNegative, Positive
from rgmkit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The `training:` part of a configuration.

    Attributes:
        steps: optimiser steps of the restorer; one step of the critic comes before each.
        minutes: time to train for, in place of `steps`: the learning rates follow the clock, and so the weights depend
            on the speed of the machine. Default: `steps`.
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
        fidelity: weight lambda of the fidelity. Default: 1e-3 for points, `1e-3 (3072 / d)^.72` for images of d values,
            0 for estimates that are compared with their own images, as with `mmse`.
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
        preview_every: steps between sheets of samples; 0 for none. With `minutes`, the sheets follow the clock.
    """

    steps: Count = 10_000
    minutes: Positive | None = None
    batch: Count = 64
    optimizer: Literal["adam", "muon"] = "adam"
    lr: Positive = 1e-3
    critic_lr: Positive | None = None
    warmup: CountOrZero = 0
    lr_end: NonNegative = 0.0
    betas: tuple[BelowOne, BelowOne] = (0.0, 0.99)
    ema: BelowOne = 0.999
    fidelity: NonNegative | None = None
    spread: Fraction = 0.0
    final_steps: CountOrZero = 0
    final_lr: Positive = 2e-4
    level_weights: tuple[NonNegative, ...] | None = None
    between_levels: bool = False
    grey: BelowOne = 0.0
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    accumulate: Count = 1
    threads: Count | None = None
    workers: CountOrZero | None = None
    critic_limit: Positive = 1e4
    checkpoint_every: Count = 1000
    checkpoint_minutes: NonNegative = 10.0
    keep: Count = 2
    preview_every: CountOrZero = 1000

    def __post_init__(self) -> None:
        for name, rate in (("lr", self.lr), ("critic_lr", self.lr if self.critic_lr is None else self.critic_lr)):
            if self.lr_end > rate:
                raise ConfigError(f"lr_end is {self.lr_end:g}, more than {name}, {rate:g}: give a lower end")
        if self.minutes is not None and self.final_steps:
            raise ConfigError(f"final_steps is {self.final_steps}, and the budget is in minutes: leave one of them out")
        if self.final_steps >= self.steps:
            raise ConfigError(f"final_steps is {self.final_steps} of {self.steps} steps: give fewer")
        if self.level_weights is not None and not any(self.level_weights):
            raise ConfigError(f"level_weights is {list(self.level_weights)}: give a number above 0 for some level")
