"""Checks of objectives: `check(objective)`, on points in the plane."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rgmkit.core.objective import Critic, Objective, Pair, PriorObjective, no_critic
from rgmkit.core.prior import Prior
from rgmkit.core.random import seeded
from rgmkit.testing.measure import assert_pure, assert_repeatable, draw_images, skip

BATCH = 12
SLACK = 1e-6  # relative; some losses do not tell real from fake
STEPS = 16  # of the critic, so that penalties that are not computed at every step are, too


class Slope(nn.Module):
    """A critic: the mean of the values of an image, with a learned factor and curvature."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor, dtype=torch.float64))
        self.curvature = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def features(self, x: Tensor, level: Tensor) -> Tensor:
        """Return the score as a single feature, (B, 1)."""
        mean = x.flatten(1).mean(1, keepdim=True)
        return self.factor * mean + self.curvature * mean.square()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Score the images, (B,)."""
        return self.features(x, level)[:, 0]


class Bowl(Prior):
    """A prior with a parameter: `g(x) = weight |x - 1/2|^2`."""

    provides = frozenset({"value", "grad"})

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def value(self, x: Tensor) -> Tensor:
        """`g(x)`."""
        return self.weight * (x - 0.5).square().flatten(1).sum(1)

    def grad(self, x: Tensor) -> Tensor:
        """`2 weight (x - 1/2)`."""
        return 2 * self.weight * (x - 0.5)


def restorer_loss(objective: Objective) -> None:
    """The loss of the restorer is one finite number, with a gradient in the estimates.

    Likely cause: no mean over the batch, or `detach`.
    """
    pair = _draw_pair(objective)
    pair.fake.requires_grad_()
    loss = objective.restorer_loss(_critic(objective), pair)
    _assert_scalar(loss, "restorer_loss")
    (slope,) = torch.autograd.grad(loss, pair.fake, allow_unused=True)
    right = slope is not None and bool(slope.isfinite().all()) and bool(slope.any())
    assert right, f"the gradient of restorer_loss in pair.fake is {None if slope is None else slope.tolist()[:2]}"


def critic_loss(objective: Objective) -> None:
    """The loss of the critic is one finite number at every step, with a gradient in the critic.

    Likely cause: no mean over the batch, scores that are detached, or a missing method.
    """
    critic, pair = _needed_critic(objective), _draw_pair(objective).detach()
    for step in range(STEPS):
        loss = objective.critic_loss(critic, pair, step=step)
        _assert_scalar(loss, f"critic_loss at step {step}")
    slopes = torch.autograd.grad(loss, list(critic.parameters()), allow_unused=True)
    right = any(slope is not None and bool(slope.any()) for slope in slopes)
    assert right, "critic_loss has no gradient in the parameters of the critic"


def direction(objective: Objective) -> None:
    """A critic that scores real images higher has the lower loss, and a restorer whose estimates score higher.

    Likely cause: the wrong sign of a score, or real and fake are interchanged.
    """
    _needed_critic(objective)
    real, fake = 1 + 0.1 * draw_images((2,), batch=BATCH), -1 + 0.1 * draw_images((2,), seed=1, batch=BATCH)
    apart, swapped = _draw_pair(objective, real, fake), _draw_pair(objective, fake, real)
    low, high = (float(objective.critic_loss(Slope(), pair, step=1).detach()) for pair in (apart, swapped))
    assert low <= high + SLACK * abs(high), (
        f"critic_loss is {low:.4f} if real images score higher, and {high:.4f} if fake ones do"
    )
    good, bad = (float(objective.restorer_loss(Slope(), pair).detach()) for pair in (swapped, apart))
    assert good <= bad + SLACK * abs(bad), (
        f"restorer_loss is {good:.4f} if fake images score higher, and {bad:.4f} if real ones do"
    )


def prior_loss(objective: Objective) -> None:
    """The loss of a prior is one finite number, with a gradient in the prior.

    Likely cause: no mean over the batch, or `detach`.
    """
    if not isinstance(objective, PriorObjective):
        skip(f"{type(objective).__name__} trains a restorer")
    prior, x = Bowl(), draw_images((1, 12, 8), batch=BATCH).sigmoid()
    loss = objective.prior_loss(prior, x, generator=seeded(0))
    _assert_scalar(loss, "prior_loss")
    (slope,) = torch.autograd.grad(loss, prior.weight, allow_unused=True)
    assert slope is not None and float(slope) != 0, "prior_loss has no gradient in the parameters of the prior"


def randomness(objective: Objective) -> None:
    """The same pair gives the same losses; global generators are not used.

    Likely cause: a draw from torch's global generator: use `randn(…, generator=seeded(pair.seed))` of
    `rgmkit.core.random`.
    """
    for name, call in _losses(objective).items():
        assert_repeatable(call, name)


def purity(objective: Objective) -> None:
    """Neither the objective nor the pair is changed.

    Likely cause: an attribute that is set outside of the constructor, or an operation in place.
    """
    pair = _draw_pair(objective)
    for name, call in _losses(objective, pair).items():
        assert_pure(objective, call, name, pair.real, pair.fake)


def _losses(objective: Objective, pair: Pair | None = None) -> dict[str, Callable[[], Tensor]]:
    if isinstance(objective, PriorObjective):
        x = draw_images((1, 12, 8), batch=BATCH).sigmoid()
        return {"prior_loss": lambda: objective.prior_loss(Bowl(), x, generator=seeded(0)).detach()}
    pair, critic = pair or _draw_pair(objective), _critic(objective)
    losses = {"restorer_loss": lambda: objective.restorer_loss(critic, pair).detach()}
    if objective.needs_critic:
        losses["critic_loss"] = lambda: objective.critic_loss(critic, pair.detach(), step=0).detach()
    return losses


def _draw_pair(objective: Objective, real: Tensor | None = None, fake: Tensor | None = None) -> Pair:
    """Draw points and estimates of three levels."""
    if isinstance(objective, PriorObjective):
        skip(f"{type(objective).__name__} trains a prior")
    real = draw_images((2,), batch=BATCH) if real is None else real
    fake = 0.5 + 0.8 * draw_images((2,), seed=1, batch=BATCH) if fake is None else fake
    level = torch.arange(BATCH) % 3 * (not objective.compares_images)
    ones = torch.ones(BATCH, dtype=real.dtype)
    return Pair(real, fake, level, 0.1 * ones, 0.2 * ones, fidelity=0.3 * ones, seed=5)


def _critic(objective: Objective) -> Critic:
    return Slope() if objective.needs_critic else no_critic


def _needed_critic(objective: Objective) -> nn.Module:
    if isinstance(objective, PriorObjective) or not objective.needs_critic:
        skip(f"{type(objective).__name__} needs no critic")
    return Slope()


def _assert_scalar(loss: Tensor, what: str) -> None:
    assert tuple(loss.shape) == (), f"{what} has shape {tuple(loss.shape)}, expected one number"
    assert bool(loss.isfinite()), f"{what} is {float(loss)}"


CHECKS = [restorer_loss, critic_loss, direction, prior_loss, randomness, purity]
