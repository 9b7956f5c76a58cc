"""Pictures for the tests of degradations and solvers."""

from __future__ import annotations

import torch
from skimage import data

from rgmkit.core.random import randn, seeded

COLOUR = torch.from_numpy(data.astronaut()[40:221, 150:303].copy()).movedim(-1, 0)[None] / 255
"""A colour photograph with odd sides, (1, 3, 181, 153)."""

CAMERA = torch.from_numpy(data.camera() / 255).float()[None, None]
"""A grey photograph, (1, 1, 512, 512)."""

GREY = torch.from_numpy(data.camera()[::3, ::3].copy())[None, None] / 255
"""A grey photograph, (1, 1, 171, 171)."""


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Standard normal images, always the same."""
    return randn(shape, generator=seeded(0), dtype=dtype)


def uniform(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Images with uniform values in [0, 1], always the same for a seed."""
    return torch.rand(shape, generator=seeded(seed), dtype=dtype)
