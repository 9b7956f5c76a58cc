"""Denoisers of deepinv as plug-and-play priors."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from rgmkit.core.applying import explain_size
from rgmkit.core.prior import Prior
from rgmkit.core.random import Randomness
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.runtime.extras import require
from rgmkit_deepinv.copying import copy_module

if TYPE_CHECKING:
    from deepinv.models.base import Denoiser

BLOCK = 8  # side of the blocks of BM3D, in pixels


class PlugAndPlay(Prior):
    """Plug and play: the prox of `gamma g` is a deepinv denoiser at the noise std `sqrt(gamma)`."""

    provides = frozenset({"prox"})
    models_colour = True

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """Return `denoiser(x, sqrt(gamma))`; `gamma` is a number or a tensor (B,).

        Raises:
            IncompatibleError: if the denoiser raises anything; with BM3D, for an image with a side of 8 pixels or
                fewer, on which its package crashes.
        """
        if (x.ndim != 4 or min(x.shape[-2:]) <= BLOCK) and self._uses_bm3d():
            raise IncompatibleError(f"BM3D is for images of 9 x 9 pixels or more, not {tuple(x.shape)}")
        std = torch.as_tensor(gamma, dtype=x.dtype, device=x.device).sqrt().expand(len(x))
        with explain_size(type(self.denoiser).__name__, "denoise", tuple(x.shape[1:])):
            return self.denoiser(x, std)

    def _uses_bm3d(self) -> bool:
        from deepinv import models

        return any(isinstance(part, models.BM3D) and part.use_legacy for part in self.denoiser.modules())


@final
class DenoiserPrior(PlugAndPlay):
    """Plug and play with any denoiser of deepinv.

    Args:
        denoiser: called as `denoiser(x, std)` with std a tensor (B,); a copy is taken.
    """

    def __init__(self, *, denoiser: Denoiser) -> None:
        super().__init__(copy_module(denoiser))


@final
class BM3D(PlugAndPlay):
    """Plug and play with BM3D, which filters stacks of similar blocks in a transform domain.

    It runs image by image on the CPU: a photograph of 481 x 321 pixels takes about 9 s grey and 21 s colour on one
    core, so that a solver of 30 iterations takes minutes. It has no gradient.

    Raises:
        ConfigError: if the package bm3d is not installed.

    Source: Dabov, Foi, Katkovnik and Egiazarian, 2007.
    """

    differentiable = False

    def __init__(self) -> None:
        require("bm3d", "the prior deepinv.BM3D")
        from deepinv import models

        super().__init__(models.BM3D())


@final
class MedianFilter(PlugAndPlay):
    """Plug and play with the median over a window, which ignores the noise level.

    Args:
        size: of the window, in pixels, odd.

    >>> spot = torch.zeros(1, 1, 5, 5)
    >>> spot[..., 2, 2] = 1
    >>> MedianFilter(size=3).prox(spot, 0.01).max()
    tensor(0.)
    """

    def __init__(self, *, size: int = 3) -> None:
        if size < 1 or size % 2 == 0:
            raise ConfigError(f"size is {size}: give an odd number of pixels")
        from deepinv import models

        super().__init__(models.MedianFilter(kernel_size=size))
