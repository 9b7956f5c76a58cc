"""A trained restoration-based generative model as a deepinv denoiser."""

from __future__ import annotations

import copy
from typing import final

import torch
from deepinv.models.base import Denoiser
from torch import Tensor

from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Streams, randn


@final
class RestoringDenoiser(Denoiser):
    """`D(x, sigma)` for images `x` in [0, 1] plus white noise of std `sigma`: `RestoringPrior.denoise`.

    No noise is added, `D(x, 0) = x`, `D` is continuous in sigma, and above the noise of level T it uses level T;
    `RestoringPrior.denoise` says how levels are combined.

    Images of a batch may have different sigmas. Only the auxiliary variable z is random: image i of a batch
    draws it from (seed, i) in each call, so that repeating a call gives identical results. The result is differentiable
    with respect to `x`. It is computed in the precision of the network and returned in that of `x`.

    Args:
        prior: the model; a copy is taken, in evaluation mode.
        seed: of z.
    """

    def __init__(self, prior: RestoringPrior, *, seed: int = 0) -> None:
        super().__init__()
        self.prior, self.seed = copy.deepcopy(prior).eval(), seed

    def forward(self, x: Tensor, sigma: float | Tensor, *, z: Tensor | None = None) -> Tensor:
        """Denoise `x`.

        Args:
            x: (B, C, H, W), in [0, 1] up to the noise.
            sigma: std of the noise, 0 or more: a number, or a tensor of 1 or B values, (B,), (B, 1, 1, 1) ….
            z: (B, latent), drawn if None.

        Raises:
            IncompatibleError: if the network is for other images, or sigma is not one number per image.
            ConfigError: if sigma is negative or not finite.
        """
        self.prior.check_shape(tuple(x.shape[1:]))
        u = x.to(self.prior.dtype or x.dtype)
        if z is None:
            z = randn((len(x), self.prior.latent), generator=Streams(self.seed, range(len(x))))
        return self.prior.denoise(u, sigma, z=z.to(u)).to(x.dtype)

    def evaluations(self, sigma: float | Tensor) -> int:
        """Return the number of network evaluations, that of the image that needs the most."""
        return self.prior.evaluations(torch.as_tensor(sigma))
