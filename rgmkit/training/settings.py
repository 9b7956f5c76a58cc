"""The numbers of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rgmkit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The `training:` part of a configuration.

    Attributes:
        steps: optimiser steps of the restorer; each has one of the critic before it.
        batch: examples per step.
        lr: learning rate of the restorer (Adam).
        critic_lr: learning rate of the critic; `lr` if not given.
        lr_end: where the cosine of both learning rates ends.
        betas: of both Adams.
        ema: decay of the averaged weights, which are the ones that are saved (shorter at the start).
        fidelity: weight lambda of the fidelity term; if not given, 1e-3, and 0 for an objective without a critic.
        spread: share of the answers that the critic judges at a level drawn below their target's, where it
            sees more of them; 0 as published.
        final_steps: of `steps`, the last ones: without spread, along a second cosine. About as many as the
            average is long, 1/(1 - ema): the averaged weights then lie between those of both losses, which
            measured better than either; the published loss alone loses again what spread has found.
        final_lr: learning rate of both networks at the start of the final steps.
        level_weights: how often the levels 1 … T are trained, in proportion; evenly if not given.
        precision: "bf16" runs the networks in bfloat16 where that is safe.
        compile: compile the restorer with `torch.compile`, which takes minutes before the first step on a CPU.
        accumulate: parts that a batch is computed in, one after the other, where it is too large at once.
        threads: CPU threads; small networks are quickest with one.
        critic_limit: the critic has exploded, and the training stops, where the size of its loss is more than
            this on average since it was last looked at (every 20 steps).
        checkpoint_every: steps between checkpoints.
        checkpoint_minutes: minutes between checkpoints, if that is sooner; 0 for steps only.
        keep: how many checkpoints are kept, the newest ones.
        preview_every: steps between pictures of samples; 0 for none.
    """

    steps: int = 10_000
    batch: int = 64
    lr: float = 1e-3
    critic_lr: float | None = None
    lr_end: float = 0.0
    betas: tuple[float, float] = (0.0, 0.99)
    ema: float = 0.999
    fidelity: float | None = None
    spread: float = 0.0
    final_steps: int = 0
    final_lr: float = 2e-4
    level_weights: tuple[float, ...] | None = None
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    accumulate: int = 1
    threads: int | None = None
    critic_limit: float = 1e4
    checkpoint_every: int = 1000
    checkpoint_minutes: float = 10.0
    keep: int = 2
    preview_every: int = 1000

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "checkpoint_every", "keep"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: give 1 or more")
        weights = ("lr_end", "fidelity", "critic_limit", "final_lr")
        for name in (*weights, "checkpoint_minutes", "preview_every", "final_steps"):
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
            raise ConfigError(f"spread is {self.spread}: give a share from 0 to 1")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is {self.ema}: give a decay from 0 to just below 1, such as 0.999")
