"""The learned part of the loss: a divergence, per level, between re-degraded answers and the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

Critic = Callable[[Tensor, Tensor], Tensor]
"""`critic(x, level)`: one number per image of a level, higher for what looks real; (B,)."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Draws of the same levels from data and from answers: `R_t(x)` and `R_t(x_hat)`, (B, …).

    Attributes:
        real, fake: the draws, with independent noise.
        level: of each pair, int64 (B,), 0 … T-1.
        variance: the noise variance `sigma_t^2` of each pair, (B,).
        degraded: the noise variance `sigma_s^2` of the images that the answers were made from, (B,).
    """

    real: Tensor
    fake: Tensor
    level: Tensor
    variance: Tensor
    degraded: Tensor


def no_critic(x: Tensor, level: Tensor) -> Tensor:
    """What an objective gets in place of a critic if it says that it needs none."""
    raise NotImplementedError("an objective calls the critic that it says it does not need")


class Objective(ABC):
    """What the training loop needs of a divergence: a loss for the critic and one for the restorer.

    Attributes:
        needs_critic: whether a critic judges the answers, at the levels that they aim at. Without one they are compared
            with the images themselves: a pair is `x, x_hat`, of level 0.
        generative: whether the answers are draws, so that the network generates in a few levels. If they are means, as
            with a squared error, the network is a denoiser.
    """

    needs_critic: ClassVar[bool] = True
    generative: ClassVar[bool] = True

    def critic_loss(self, critic: Critic, pair: Pair, *, step: int) -> Tensor:
        """The loss that the critic's step descends; `step` counts from 0 (for lazy penalties)."""
        raise NotImplementedError(f"{type(self).__name__} says that it needs a critic, and has no critic_loss")

    @abstractmethod
    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """The loss that the restorer's step descends, a function of `pair.fake`."""
