"""Networks for points, quick enough to try an objective in a minute."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from rgmkit.core.bounds import Count, CountOrZero
from rgmkit.core.process import ForwardProcess
from rgmkit_gan.networks.parts import Correction, first_axis, fourier_features


class _ResidualMLP(nn.Module):
    """`h <- h + W2 silu(W1 silu(h) + level)`, `depth` times, on Fourier features of the input."""

    def __init__(self, inputs: int, outputs: int, levels: int, width: int, depth: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, width)
        self.level = nn.Embedding(levels, depth * width)
        self.first = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.leave = nn.Linear(width, outputs)

    def forward(self, features: Tensor, t: Tensor) -> Tensor:
        return self.leave(self.hidden(features, t))

    def hidden(self, features: Tensor, t: Tensor) -> Tensor:
        """Return the input of the last layer, (B, width)."""
        h, shifts = self.enter(features), self.level(t).chunk(len(self.first), dim=1)
        for shift, first, second in zip(shifts, self.first, self.second, strict=True):
            h = h + second(silu(first(silu(h)) + shift))
        return silu(h)


@final
class MLP(nn.Module):
    """A restorer of points: `G(y, t, z) = a_{t+1} y + sigma_{t+1} u(y, t, z)`.

    Args:
        process: the forward process, whose levels and their gain `a` and noise std `sigma` are used.
        image_shape: of one point, (d,).
        width, depth: of the residual layers.
        octaves: of the Fourier features of y; 0 for none (25 modes then merge into a few).
        latent: number of values of z.

    >>> from rgmkit_noise.process import GaussianProcess
    >>> network = MLP(process=GaussianProcess(levels=4), image_shape=(2,))
    >>> network(torch.zeros(5, 2), torch.tensor([0, 1, 2, 3, 3]), torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        *,
        process: ForwardProcess,
        image_shape: tuple[int, ...],
        width: Count = 64,
        depth: Count = 3,
        octaves: CountOrZero = 4,
        latent: CountOrZero = 2,
    ) -> None:
        super().__init__()
        d = first_axis(image_shape, axes=1, network="mlp")
        self.latent, self.octaves = latent, octaves
        self.body = _ResidualMLP(d * (1 + 2 * octaves) + latent, d, process.levels, width, depth)
        self.correct = Correction(process)

    def forward(self, y: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Restore points (B, d) from points `y` of level t + 1; `z` is (B, latent)."""
        features = torch.cat([fourier_features(y, self.octaves), z.to(y)], dim=1)
        return self.correct(y, self.body(features, t), t)


@final
class MLPDiscriminator(nn.Module):
    """A discriminator of points, `D(x, t)`, (B,).

    Args:
        process: the forward process, whose number of levels is used.
        image_shape: of one point, (d,).
        width, depth: of the residual layers.
        octaves: of the Fourier features of x.
    """

    def __init__(
        self,
        *,
        process: ForwardProcess,
        image_shape: tuple[int, ...],
        width: Count = 64,
        depth: Count = 3,
        octaves: CountOrZero = 4,
    ) -> None:
        super().__init__()
        d = first_axis(image_shape, axes=1, network="mlp-discriminator")
        self.octaves = octaves
        self.body = _ResidualMLP(d * (1 + 2 * octaves), 1, process.levels, width, depth)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return one number for each point, higher for points that look real."""
        return self.body(fourier_features(x, self.octaves), t)[:, 0]

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """Return what the score is a linear function of, (B, width)."""
        return self.body.hidden(fourier_features(x, self.octaves), t)
