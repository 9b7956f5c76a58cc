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

    That says which levels answer, and what happens between and outside them: no noise is added, `D(x, 0) = x`,
    D is continuous in sigma, and above level T it is the answer of level T.

    Images of a batch may have any sigma. Only the auxiliary variable z is random: image i of a batch
    draws it from (seed, i) in each call, so that the same call gives the same bits. Gradients pass through
    to `x`. It works in the precision of the network, and answers in that of `x`.

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
            IncompatibleError: if the network is not for images of this kind, or sigma not one number per image.
            ConfigError: if sigma is negative or not finite.
        """
        self.prior.check_shape(tuple(x.shape[1:]))
        u = x.to(self.prior.dtype or x.dtype)
        if z is None:
            z = randn((len(x), self.prior.latent), generator=Streams(self.seed, range(len(x))))
        return self.prior.denoise(u, sigma, z=z.to(u)).to(x.dtype)

    def evaluations(self, sigma: float | Tensor) -> int:
        """Network evaluations of the image that needs the most."""
        return self.prior.evaluations(torch.as_tensor(sigma))
