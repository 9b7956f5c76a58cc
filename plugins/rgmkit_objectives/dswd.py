"""The distributional sliced Wasserstein distance: transport in one dimension, along directions that are learned."""

from __future__ import annotations

from functools import partial
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rgmkit.core.bounds import Count, CountOrZero, NonNegative, Positive
from rgmkit.core.objective import Critic, Objective, Pair
from rgmkit.core.random import randn, seeded
from rgmkit_objectives.levels import compare_levels

LEAST = 1e-8  # of a squared distance before its root is taken


@final
class DSWD(Objective):
    """`G` minimises, level by level, the sliced Wasserstein distance between n estimates y and n data x:

        SW^2 = mean_k 1/n sum_i (x_(i)^k - y_(i)^k)^2,    x_(i)^k the sorted <theta_k, x_i>.

    The directions are `theta_k = M e_k / |M e_k|` with normal draws e_k and a matrix M, which starts at the identity in
    every training step and ascends `SW - penalty * mean_kl |<theta_k, theta_l>|` by the signs of the gradient:
    directions that tell estimates from data, and differ from each other. There is no critic.

    Args:
        directions: number of directions.
        ascent: steps of M; with 0 this is the sliced Wasserstein distance.
        rate: change of each element of M in a step.
        penalty: weight of the mean absolute cosine between two directions.

    Source: Nguyen, Ho, Pham and Bui, "Distributional Sliced-Wasserstein and Applications to Generative Modeling", 2021.

    >>> x = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    >>> pair = Pair(real=x, fake=x.flip(0), level=torch.zeros(2), variance=torch.ones(2), degraded=torch.ones(2))
    >>> DSWD().restorer_loss(critic=None, pair=pair)  # the same set of points
    tensor(0.0001)
    """

    needs_critic = False
    paired = False

    def __init__(
        self, *, directions: Count = 128, ascent: CountOrZero = 2, rate: Positive = 0.05, penalty: NonNegative = 1.0
    ) -> None:
        self.directions, self.ascent, self.rate, self.penalty = directions, ascent, rate, penalty

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """Return the distance between estimates and data along directions that were learned on them."""
        generator, size = seeded(pair.seed), pair.real[0].numel()
        e = randn((self.directions, size), generator=generator, device=pair.real.device)
        return compare_levels(partial(self._measure, e=e), pair.real, pair.fake, pair.level)

    def _measure(self, x: Tensor, y: Tensor, e: Tensor) -> Tensor:
        return sliced_distance(x, y, self._learn_directions(x.detach(), y.detach(), e.to(x)))

    @torch.enable_grad()
    def _learn_directions(self, x: Tensor, y: Tensor, e: Tensor) -> Tensor:
        matrix = torch.eye(e.shape[1], dtype=e.dtype, device=e.device)
        for _ in range(self.ascent):
            matrix.requires_grad_()
            theta = normalize(e @ matrix)
            gain = sliced_distance(x, y, theta) - self.penalty * mean_cosine(theta)
            (slope,) = torch.autograd.grad(gain, matrix)
            matrix = matrix.detach() + self.rate * slope.sign()
        return normalize(e @ matrix)


def sliced_distance(x: Tensor, y: Tensor, theta: Tensor) -> Tensor:
    """Return the sliced Wasserstein distance of two sets of n vectors (n, d), along unit vectors `theta` (K, d)."""
    difference = (x @ theta.mT).sort(0).values - (y @ theta.mT).sort(0).values
    return difference.square().mean().clamp(min=LEAST).sqrt()


def mean_cosine(theta: Tensor) -> Tensor:
    """Return the mean absolute cosine between any two of the unit vectors (K, d)."""
    return (theta @ theta.mT).abs().mean()
