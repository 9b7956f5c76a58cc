"""Denoisers of deepinv without a network, by name, as plug-and-play priors."""

from __future__ import annotations

from typing import final

from deepinv import models

from rgmkit.errors import ConfigError
from rgmkit_deepinv.objects import Plugged
from rgmkit_deepinv.requirements import require


@final
class BM3D(Plugged):
    """Plug and play with BM3D: similar blocks are stacked, transformed, shrunk and put back.

    Image by image on the CPU: a photograph of 481 x 321 pixels takes about 9 s grey and 21 s colour on one core, so
    that a solver of 30 steps takes minutes. It has no gradient.

    Raises:
        ConfigError: if the package bm3d is not there.

    Source: Dabov, Foi, Katkovnik and Egiazarian, 2007.
    """

    def __init__(self) -> None:
        require("bm3d", "the prior deepinv.BM3D", "pip install 'rgmkit[bm3d]'")
        super().__init__(models.BM3D())


@final
class MedianFilter(Plugged):
    """Plug and play with a median over a window, whatever the noise.

    Args:
        size: of the window, in pixels, odd.

    >>> import torch
    >>> spot = torch.zeros(1, 1, 5, 5)
    >>> spot[..., 2, 2] = 1
    >>> MedianFilter(size=3).prox(spot, 0.01).max()
    tensor(0.)
    """

    def __init__(self, *, size: int = 3) -> None:
        if size < 1 or size % 2 == 0:
            raise ConfigError(f"size is {size}: give an odd number of pixels")
        super().__init__(models.MedianFilter(kernel_size=size))
