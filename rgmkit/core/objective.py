"""The learned part of the loss: a divergence, per level, between re-degraded estimates and the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from torch import Tensor

from rgmkit.core.printable import Printable
from rgmkit.core.prior import Prior
from rgmkit.core.random import Randomness

Critic = Callable[[Tensor, Tensor], Tensor]
"""`critic(x, level)`: one score per image, higher for images that look real: (B,).

The level is `s - 1`, as for the restorer: that of the degraded image that the estimate was made from, minus one. A
critic that does not know it compares the estimates of all levels together with the data, and one level may then lack
what another has too often.
"""


@dataclass(frozen=True, eq=False)
class Pair:
    """Images and estimates, degraded to the same levels: `R_t(x)` and `R_t(x_hat)`, (B, …).

    Attributes:
        real, fake: the degraded images and estimates, with independent noise.
        level: `s - 1` of each pair, int64 (B,), 0 … T-1, where s is the level of the degraded image `y_s` that the
            estimate was made from; as published, t is the same.
        variance: the noise variance `sigma_t^2` of each pair, (B,).
        degraded: the noise variance `sigma_s^2` of the input of the network, (B,).
        fidelity: the weighted fidelity `lambda F(x_hat, y_s, s)` of each estimate, (B,).
        seed: of the random numbers that the objective draws.
    """

    real: Tensor
    fake: Tensor
    level: Tensor
    variance: Tensor
    degraded: Tensor
    fidelity: Tensor | float = 0.0
    seed: int = 0

    def detach(self) -> Pair:
        """Return the pair without the graph of the restorer."""
        return replace(self, fake=self.fake.detach(), fidelity=torch.as_tensor(self.fidelity).detach())


def no_critic(x: Tensor, level: Tensor) -> Tensor:
    """Stand in for the critic of an objective with `needs_critic = False`."""
    raise NotImplementedError("an objective with needs_critic = False calls its critic")


class Objective(Printable, ABC):
    """A divergence as the training loop needs it: a loss for the critic and one for the restorer.

    Attributes:
        needs_critic: whether a critic is trained.
        paired: whether each estimate is compared with its own image: a pair is then `x, x_hat`. Otherwise
            estimates and data are compared at target levels. Default: True without a critic.
        generative: whether the estimates are draws from a distribution, so that the network generates in a few levels.
            If they are means, as with a squared error, the network is a denoiser.
    """

    needs_critic: bool = True
    paired: bool | None = None
    generative: bool = True

    @final
    @property
    def compares_images(self) -> bool:
        """Whether each estimate is compared with its own image, see `paired`."""
        return not self.needs_critic if self.paired is None else self.paired

    def critic_loss(self, critic: Critic, pair: Pair, *, step: int) -> Tensor:
        """Return the loss of the critic; `step` counts from 0, for penalties that are not computed at every step."""
        raise NotImplementedError(f"{type(self).__name__} has needs_critic = True and no critic_loss")

    @abstractmethod
    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """Return the loss of the restorer, a function of `pair.fake`."""


class PriorObjective(Objective):
    """The loss of an explicit prior: the network is trained to be `g(x)` itself, and restores nothing.

    Attributes:
        prior: the name of the prior component that the network becomes.
    """

    prior: ClassVar[str]
    needs_critic = False
    generative = False

    @abstractmethod
    def prior_loss(self, prior: Prior, x: Tensor, *, generator: Randomness) -> Tensor:
        """Return the loss of the prior, given images `x` in the units of the user."""

    @final
    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """Raise a NotImplementedError: there is no restorer."""
        raise NotImplementedError(f"{type(self).__name__} trains a prior, not a restorer")
