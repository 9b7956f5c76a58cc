"""Adversarial divergences between `R_t(x_hat)` and `R_t(x)`, one per level."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rgmkit.core.objective import Critic, Objective, Pair


def gradient_penalty(critic: Critic, x: Tensor, level: Tensor, weight: float | Tensor) -> Tensor:
    """`1/2 E[weight |grad_x D(x, t)|^2]`: R1 on real inputs, R2 on fake ones (Mescheder et al. 2018)."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x, level).sum(), x, create_graph=True)
    return (weight * slope.float().square().flatten(1).sum(1)).mean() / 2


def judge(critic: Critic, pair: Pair) -> tuple[Tensor, Tensor]:
    """`D(real), D(fake)`, in one pass unless that would compare real images with fake ones."""
    groups = _groups(critic, len(pair.real))
    if groups is None:
        return critic(pair.real, pair.level), critic(pair.fake, pair.level)
    judged = critic(_together(pair.real, pair.fake, groups), _together(pair.level, pair.level, groups))
    real, fake = judged.unflatten(0, (groups, -1)).chunk(2, dim=1)
    return real.flatten(), fake.flatten()


def penalise_both(critic: Critic, pair: Pair, weight: Tensor) -> Tensor:
    """The gradient penalties on real and on fake inputs, `weight` (B,); in one pass as in `judge`."""
    groups = _groups(critic, len(pair.real))
    if groups is None:
        parts = (pair.real, pair.fake)
        return torch.stack([gradient_penalty(critic, x, pair.level, weight) for x in parts]).sum()
    both, levels = _together(pair.real, pair.fake, groups), _together(pair.level, pair.level, groups)
    return 2 * gradient_penalty(critic, both, levels, _together(weight, weight, groups))


def _together(real: Tensor, fake: Tensor, size: int) -> Tensor:
    """Both batches as one, in which row i is compared with the rows `i mod (2B / size)`, all real or all fake."""
    return torch.cat([rows.unflatten(0, (size, -1)) for rows in (real, fake)], dim=1).flatten(0, 1)


def _groups(critic: Critic, images: int) -> int | None:
    """How many images the critic compares with each other, 1 for each alone; None where groups are not of one size."""
    if not getattr(critic, "compares_batch", False):
        return 1
    size = getattr(critic, "group", None)
    return size if size is not None and images % size == 0 else None


class _LogisticGAN(Objective):
    """`D` descends `softplus(-D(real)) + softplus(D(fake))`, and R1 on every `interval`-th step.

    Args:
        gamma: weight of `1/2 E|grad_x D(real)|^2`; not multiplied by the interval, as published.
        interval: steps between two penalties.
    """

    def __init__(self, *, gamma: float = 0.02, interval: int = 15) -> None:
        self.gamma, self.interval = gamma, interval

    def critic_loss(self, critic: Critic, pair: Pair, *, step: int) -> Tensor:
        """The logistic loss, with lazy R1."""
        real, fake = judge(critic, pair)
        loss = (softplus(-real) + softplus(fake)).mean()
        if step % self.interval == 0 and self.gamma > 0:
            loss = loss + gradient_penalty(critic, pair.real, pair.level, self.gamma)
        return loss

    @abstractmethod
    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor: ...


@final
class KL(_LogisticGAN):
    """`G` descends `softplus(-D) - softplus(D) = -D(fake)`, an estimate of KL(fake || real).

    Source: Choi, Park and Kang, ICML 2023.
    """

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """`-E D(fake)`."""
        return -critic(pair.fake, pair.level).mean()


@final
class JS(_LogisticGAN):
    """`G` descends the non-saturating `softplus(-D(fake))`.

    Source: Goodfellow et al., 2014.
    """

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """`E softplus(-D(fake))`."""
        return softplus(-critic(pair.fake, pair.level)).mean()


@final
class Relativistic(Objective):
    """`D` descends `softplus(D(fake) - D(real))` with R1 and R2, `G` its mirror.

    A real and a fake image are judged together, which keeps every mode of the data in sight of `G`.
    The penalties stand on real and on fake inputs, are weighed by `gamma * (floor + sigma_t^2)`, so that a
    level without noise may have a steep `D`, and are multiplied by the interval.

    Source: Huang et al., "The GAN is dead; long live the GAN!", NeurIPS 2024.

    Args:
        gamma: weight of the penalties.
        interval: steps between two penalties.
        floor: what is added to the noise variance of the level.
    """

    def __init__(self, *, gamma: float = 0.02, interval: int = 4, floor: float = 0.0) -> None:
        self.gamma, self.interval, self.floor = gamma, interval, floor

    def critic_loss(self, critic: Critic, pair: Pair, *, step: int) -> Tensor:
        """The relativistic pairing loss, with lazy R1 and R2."""
        real, fake = judge(critic, pair)
        loss = softplus(fake - real).mean()
        if step % self.interval == 0 and self.gamma > 0:
            weight = self.gamma * self.interval * (self.floor + pair.variance)
            loss = loss + penalise_both(critic, pair, weight)
        return loss

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """`E softplus(D(real) - D(fake))`."""
        with torch.no_grad():
            real = critic(pair.real, pair.level)
        return softplus(real - critic(pair.fake, pair.level)).mean()


@final
class MMSE(Objective):
    """No prior and no critic: `E[sigma_s^(-2 power) |G(y_s, s - 1, z) - x|^2]`, a mean over the values of an image.

    The answer is the mean of all images that fit `y_s`: nearest to the truth on average, smoother than any. So the
    network is a denoiser for noise of every level, to be used with `prior.denoise`, `to_deepinv` and the solvers, and
    generation needs many levels. With power 1 (the default) each level's correction counts alike; with 0 the
    levels with much noise decide.

    Source: Ho et al., "Denoising Diffusion Probabilistic Models", 2020, seen as restoration.

    Args:
        power: of the weight `sigma_s^(-2 power)` of level s.
    """

    needs_critic: ClassVar[bool] = False
    generative: ClassVar[bool] = False

    def __init__(self, *, power: float = 1.0) -> None:
        self.power = power

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """The weighted mean squared error."""
        error = (pair.fake - pair.real).square().flatten(1).mean(1)
        return (error / pair.degraded**self.power).mean()
