"""The maximum mean discrepancy: a distance of distributions by a kernel, on pixels or on learned features."""

from __future__ import annotations

from functools import partial
from typing import Literal, final

import torch
from torch import Tensor

from rgmkit.core.bounds import Count, NonNegative, Positive
from rgmkit.core.objective import Critic, Objective, Pair
from rgmkit.core.random import randn, seeded
from rgmkit.errors import ConfigError
from rgmkit_objectives.levels import compare_levels

LEAST = 1e-8  # of a squared distance before its root is taken


@final
class MMD(Objective):
    """`G` minimises, level by level, the root of the biased squared MMD between estimates y and data x:

        MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),    k(x, y) = sum_b exp(-|x - y|^2 / (2 b m)),

    where m is the median of `|x - y|^2` over all pairs of two different images of the batch. The means are over the
    images of one level in a batch, so that batches should be large.

    With learned features, x and y are `phi(x) = D.features(x, t)` of a critic that maximises the MMD. On every
    `interval`-th step, `|d phi / dx|^2 / m` at real images is penalised: phi stays smooth relative to its distances.

    Args:
        features: "fixed", the pixels, without a critic; or "learned".
        bandwidths: the factors b of the median.
        gamma: weight of the penalty, `1/2 E|d phi / dx|^2 / m` times the interval; learned features only.
        interval: steps between two penalties.

    Raises:
        ConfigError: without bandwidths, or with a critic that has no features.

    Source: Gretton et al., "A Kernel Two-Sample Test", 2012; Li et al., "MMD GAN", 2017 (learned features).

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> pair = Pair(real=x, fake=x, level=torch.zeros(2), variance=torch.ones(2), degraded=torch.ones(2))
    >>> MMD().restorer_loss(critic=None, pair=pair)  # it needs none
    tensor(0.0001)
    """

    paired = False

    def __init__(
        self,
        *,
        features: Literal["fixed", "learned"] = "fixed",
        bandwidths: tuple[Positive, ...] = (0.001, 0.01, 0.1, 1.0),
        gamma: NonNegative = 1.0,
        interval: Count = 4,
    ) -> None:
        if not bandwidths:
            raise ConfigError("bandwidths is []: give factors of the median distance")
        self.needs_critic = features == "learned"
        self.bandwidths, self.gamma, self.interval = bandwidths, gamma, interval

    def critic_loss(self, critic: Critic, pair: Pair, *, step: int) -> Tensor:
        """Return minus the MMD of the features, with the lazy penalty."""
        loss = -self.restorer_loss(critic, pair)
        if step % self.interval or self.gamma == 0:
            return loss
        x = pair.real.detach().requires_grad_()
        features = self._features(critic, x, pair.level)
        e = randn(features.shape, generator=seeded(pair.seed), device=x.device)  # E|grad <e, phi>|^2 = |d phi / dx|^2
        (slope,) = torch.autograd.grad((e * features).sum(), x, create_graph=True)
        scale = median_distance(squared_distances(features.detach()))
        return loss + self.interval * self.gamma / 2 * slope.float().square().flatten(1).sum(1).mean() / scale

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """Return the MMD between estimates and data, of their features if these are learned."""
        real, fake = (self._features(critic, x, pair.level) for x in (pair.real, pair.fake))
        return compare_levels(partial(measure_mmd, bandwidths=self.bandwidths), real, fake, pair.level)

    def _features(self, critic: Critic, x: Tensor, level: Tensor) -> Tensor:
        if not self.needs_critic:
            return x
        features = getattr(critic, "features", None)
        if features is None:
            raise ConfigError(
                f"objective mmd learns features, and the critic {type(critic).__name__} has no method features(x, t): "
                f"give another critic, or features: fixed"
            )
        return features(x, level)


def measure_mmd(x: Tensor, y: Tensor, bandwidths: tuple[float, ...]) -> Tensor:
    """Return the root of the biased squared MMD between two sets of n vectors, (n, d) each."""
    distances, n = squared_distances(torch.cat([x, y])), len(x)
    scale = median_distance(distances)
    k = torch.stack([torch.exp(-distances / (2 * b * scale)) for b in bandwidths]).sum(0)
    return (k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()).clamp(min=LEAST).sqrt()


def squared_distances(x: Tensor) -> Tensor:
    """Return `|x_i - x_j|^2` of vectors (n, d): (n, n)."""
    products = x @ x.mT
    norms = products.diagonal()
    return (norms[:, None] + norms - 2 * products).clamp(min=0)


def median_distance(distances: Tensor) -> Tensor:
    """Return the median of the squared distances (n, n) of different vectors, a constant."""
    apart = ~torch.eye(len(distances), dtype=torch.bool, device=distances.device)
    return distances.detach()[apart].median().clamp(min=1e-12)
