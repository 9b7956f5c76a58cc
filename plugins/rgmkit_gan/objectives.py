"""Training objectives with a critic: adversarial divergences between `R_t(x_hat)` and `R_t(x)`."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rgmkit.core.bounds import Count, NonNegative
from rgmkit.core.objective import Critic, Objective, Pair
from rgmkit.deprecation import moved_attributes


def gradient_penalty(critic: Critic, x: Tensor, level: Tensor, weight: float | Tensor) -> Tensor:
    """Return `1/2 E[weight |grad_x D(x, t)|^2]`: R1 on real inputs, R2 on fake ones (Mescheder et al. 2018)."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x, level).sum(), x, create_graph=True)
    return (weight * slope.float().square().flatten(1).sum(1)).mean() / 2


def judge(critic: Critic, pair: Pair) -> tuple[Tensor, Tensor]:
    """Return `D(real), D(fake)`, in one pass unless that would compare real images with fake ones."""
    groups = _group_size(critic, len(pair.real))
    if groups is None:
        return critic(pair.real, pair.level), critic(pair.fake, pair.level)
    judged = critic(_interleave(pair.real, pair.fake, groups), _interleave(pair.level, pair.level, groups))
    real, fake = judged.unflatten(0, (groups, -1)).chunk(2, dim=1)
    return real.flatten(), fake.flatten()


def penalise_both(critic: Critic, pair: Pair, weight: Tensor) -> Tensor:
    """Return the gradient penalty on real plus that on fake inputs, `weight` (B,); in one pass as in `judge`."""
    groups = _group_size(critic, len(pair.real))
    if groups is None:
        parts = (pair.real, pair.fake)
        return torch.stack([gradient_penalty(critic, x, pair.level, weight) for x in parts]).sum()
    both, levels = _interleave(pair.real, pair.fake, groups), _interleave(pair.level, pair.level, groups)
    return 2 * gradient_penalty(critic, both, levels, _interleave(weight, weight, groups))


def _interleave(real: Tensor, fake: Tensor, size: int) -> Tensor:
    """Join two batches so that row i is compared with the rows `i mod (2B / size)`, all real or all fake."""
    return torch.cat([rows.unflatten(0, (size, -1)) for rows in (real, fake)], dim=1).flatten(0, 1)


def _group_size(critic: Critic, images: int) -> int | None:
    """Return how many images the critic compares with each other, 1 if none; None if groups would differ in size."""
    if not getattr(critic, "compares_batch", False):
        return 1
    size = getattr(critic, "group", None)
    return size if size is not None and images % size == 0 else None


class _LogisticGAN(Objective):
    """`D` minimises `softplus(-D(real)) + softplus(D(fake))`, with R1 on every `interval`-th step.

    Args:
        gamma: weight of `1/2 E|grad_x D(real)|^2`, not multiplied by the interval, as published.
        interval: steps between two penalties.
    """

    def __init__(self, *, gamma: NonNegative = 0.02, interval: Count = 15) -> None:
        self.gamma, self.interval = gamma, interval

    def critic_loss(self, critic: Critic, pair: Pair, *, step: int) -> Tensor:
        """Return the logistic loss, with lazy R1."""
        real, fake = judge(critic, pair)
        return (softplus(-real) + softplus(fake)).mean() + self._penalty(critic, pair, step)

    def _penalty(self, critic: Critic, pair: Pair, step: int) -> Tensor | float:
        if step % self.interval or self.gamma == 0:
            return 0.0
        return gradient_penalty(critic, pair.real, pair.level, self.gamma)


@final
class KL(_LogisticGAN):
    """`G` minimises `softplus(-D) - softplus(D) = -D(fake)`, an estimate of KL(fake || real).

    `D` minimises `softplus(-D(real)) + softplus(D(fake))`, with R1 on every `interval`-th step.

    Args:
        gamma: weight of R1, `1/2 E|grad_x D(real)|^2`; not multiplied by the interval, as published.
        interval: steps between two penalties.

    Source: Choi, Park and Kang, ICML 2023.

    >>> x = torch.ones(3, 1, 2, 2)
    >>> pair = Pair(real=x, fake=2 * x, level=torch.tensor([0, 1, 2]), variance=torch.ones(3), degraded=torch.ones(3))
    >>> KL().restorer_loss(lambda x, level: x.mean((1, 2, 3)), pair)
    tensor(-2.)
    """

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """Return `-E D(fake)`."""
        return -critic(pair.fake, pair.level).mean()


@final
class JS(_LogisticGAN):
    """`G` minimises the non-saturating `softplus(-D(fake))`.

    `D` minimises `softplus(-D(real)) + softplus(D(fake))`, with R1 on every `interval`-th step.

    Args:
        gamma: weight of R1, `1/2 E|grad_x D(real)|^2`; not multiplied by the interval.
        interval: steps between two penalties.

    Source: Goodfellow et al., 2014.
    """

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """Return `E softplus(-D(fake))`."""
        return softplus(-critic(pair.fake, pair.level)).mean()


@final
class UOTM(_LogisticGAN):
    """Semi-dual unbalanced optimal transport from `y_s` to the data, whose cost c is the weighted fidelity.

    `D` minimises `softplus(-D(real)) + softplus(D(fake) - c)`, with R1 on every `interval`-th step, and `G` minimises
    `c - D(fake)`: `kl` with a critic that knows the cost. Estimates far from their `y_s` count less, and so do outliers
    of the data. With a small `training.fidelity` it equals `kl`.

    Args:
        gamma: weight of R1, `1/2 E|grad_x D(real)|^2`; not multiplied by the interval.
        interval: steps between two penalties.

    Source: Choi, Choi and Kang, "Generative Modeling through the Semi-dual Formulation of Unbalanced Optimal
    Transport", NeurIPS 2023, with phi = softplus.
    """

    def critic_loss(self, critic: Critic, pair: Pair, *, step: int) -> Tensor:
        """Return the negative semi-dual, with lazy R1."""
        real, fake = judge(critic, pair)
        return (softplus(-real) + softplus(fake - pair.fidelity)).mean() + self._penalty(critic, pair, step)

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """Return `-E D(fake)`; the training step adds the cost."""
        return -critic(pair.fake, pair.level).mean()


@final
class Relativistic(Objective):
    """`D` minimises `softplus(D(fake) - D(real))` with R1 and R2, `G` minimises `softplus(D(real) - D(fake))`.

    `D` compares a fake image with a real one, which keeps `G` from ignoring modes of the data.
    The penalties on real and on fake inputs have the weight `gamma * (floor + sigma_t^2)`, so that `D` may be steep at
    a level without noise, and are multiplied by the interval.

    Source: Huang et al., "The GAN is dead; long live the GAN!", NeurIPS 2024.

    Args:
        gamma: weight of the penalties.
        interval: steps between two penalties.
        floor: added to the noise variance of the level in the weight of the penalties.
    """

    def __init__(self, *, gamma: NonNegative = 0.02, interval: Count = 4, floor: NonNegative = 0.0) -> None:
        self.gamma, self.interval, self.floor = gamma, interval, floor

    def critic_loss(self, critic: Critic, pair: Pair, *, step: int) -> Tensor:
        """Return the relativistic pairing loss, with lazy R1 and R2."""
        real, fake = judge(critic, pair)
        loss = softplus(fake - real).mean()
        if step % self.interval == 0 and self.gamma > 0:
            weight = self.gamma * self.interval * (self.floor + pair.variance)
            loss = loss + penalise_both(critic, pair, weight)
        return loss

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """Return `E softplus(D(real) - D(fake))`."""
        with torch.no_grad():
            real = critic(pair.real, pair.level)
        return softplus(real - critic(pair.fake, pair.level)).mean()


def __getattr__(name: str) -> Any:
    return moved_attributes(__name__, {"MMSE": "rgmkit_objectives.mmse"}, name)
