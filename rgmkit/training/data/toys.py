"""Toy distributions of points in the plane, on which an objective can be tested in seconds."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from rgmkit.core.random import seeded
from rgmkit.training.data.base import Data

_POINTS = 3  # so that the streams of data and noise of a step differ


class Points(Data):
    """Endless points (n, 2), which a forward process takes divided by their standard deviation."""

    shape = (2,)
    center = 0.0

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw `n` points."""

    def batch(self, size: int, *, seed: int, step: int) -> Tensor:
        """Draw the `size` points of a step."""
        return self.draw(size, seeded(seed, step, _POINTS))


class Mixture(Points):
    """Equal Gaussian modes: `means` (k, 2) with standard deviation `std` each."""

    def __init__(self, means: Tensor, std: float) -> None:
        self.means, self.std = means, std
        self.scale = math.sqrt(float(means.square().mean()) + std**2)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw a mode, then a point of it."""
        mode = torch.randint(len(self.means), (n,), generator=generator)
        return self.means[mode] + self.std * torch.randn(n, 2, generator=generator)

    def score(self, points: Tensor) -> dict[str, float]:
        """Return the number of modes found, and the fraction of points within 4 std of a mode.

        A mode is found if at least 25 % of the points expected there are within 4 std of it.
        """
        distance, mode = torch.cdist(points, self.means).min(1)
        near = distance <= 4 * self.std
        share = torch.bincount(mode[near], minlength=len(self.means)) / len(points)
        found = int((share >= 0.25 / len(self.means)).sum())
        return {"modes": found, "of": len(self.means), "inside": float(near.float().mean())}


@final
class GMM(Mixture):
    """Eight Gaussians on a circle of radius 2, variance 1/200 each."""

    def __init__(self) -> None:
        angle = torch.arange(8) * (2 * math.pi / 8)
        super().__init__(2 * torch.stack([angle.cos(), angle.sin()], 1), math.sqrt(1 / 200))


@final
class Gaussian25(Mixture):
    """Gaussians on a 5x5 grid of spacing 1, variance 1/4000 each."""

    def __init__(self) -> None:
        grid = torch.cartesian_prod(torch.arange(-2.0, 3), torch.arange(-2.0, 3))
        super().__init__(grid, math.sqrt(1 / 4000))


@final
class Checkerboard(Points):
    """The uniform distribution on eight unit cells of [-2, 2]^2, the black squares of a chessboard pattern."""

    scale = math.sqrt(4 / 3)  # std of a coordinate: uniform on [-2, 2]

    def __init__(self) -> None:
        cells = [(i, j) for i in range(-2, 2) for j in range(-2, 2) if (i + j) % 2 == 0]
        self.cells = torch.tensor(cells, dtype=torch.float32)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw a cell, then a point of it."""
        cell = torch.randint(len(self.cells), (n,), generator=generator)
        return self.cells[cell] + torch.rand(n, 2, generator=generator)

    def score(self, points: Tensor) -> dict[str, float]:
        """Return the number of cells found (with 25 % of the expected points or more), and the fraction inside."""
        corner = points.floor()
        hit = (corner[:, None] == self.cells).all(-1)
        found = int((hit.float().mean(0) >= 0.25 / len(self.cells)).sum())
        return {"modes": found, "of": len(self.cells), "inside": float(hit.any(1).float().mean())}
