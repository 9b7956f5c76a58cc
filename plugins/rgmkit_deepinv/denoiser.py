"""A trained restoration-based generative model as a deepinv denoiser."""

from __future__ import annotations

import copy
import math
from typing import final

import torch
from deepinv.models.base import Denoiser
from torch import Tensor

from rgmkit.arguments import check_fits, home
from rgmkit.core.linear import per_image
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Streams, randn
from rgmkit.errors import ConfigError, IncompatibleError

LEFT = 0.1  # of the noise of level 1, as a variance: what the network leaves of it


@final
class RestoringDenoiser(Denoiser):
    """`D(x, sigma)` for images `x` in [0, 1] plus white noise of std `sigma`, by the network of a `RestoringPrior`.

    **Range and noise.** Level s undoes `y_s = a_s x' + sigma_s e` on images `x'` in the range of the process;
    that is noise of std `noise_s = scale sigma_s / a_s` (`RestoringPrior.noise`) on images in [0, 1].
    `G_s(x)` below is the network's answer to `x` brought into that range and scaled by `a_s`, with nothing added:
    what noise `x` lacks of the level's only costs accuracy when it is added (2 dB on digits at half of `noise_1`).

    **Between two levels**, `noise_s <= sigma <= noise_{s+1}`, their answers are mixed in the ratio of the logarithms,

        D = G_s + w (G_{s+1} - G_s),    w = log(sigma / noise_s) / log(noise_{s+1} / noise_s).

    **Below level 1** the network would take off more than there is, so its answer is mixed with `x`
    itself, each weighted by the inverse variance of its error, taken to be `.1 noise_1^2` for the network:

        D = x + w (G_1 - x),    w = 1.1 r / (r + .1),    r = (sigma / noise_1)^2.

    So `D(x, 0) = x`, and `D` is continuous in `sigma`. **Above level T** it is `G_T`, whatever the noise.

    Images of a batch may have any levels; each costs one network evaluation at or below level 1 and
    from level T on, two between, none at sigma 0. Only the auxiliary variable z is random: image i of a batch
    draws it from (seed, i) in each call, so that the same call gives the same bits. Gradients pass through
    to `x`. It works in the precision of the network, and answers in that of `x`.

    Args:
        prior: the model; a copy is taken, in evaluation mode.
        seed: of z.
    """

    noises: Tensor

    def __init__(self, prior: RestoringPrior, *, seed: int = 0) -> None:
        super().__init__()
        self.prior, self.seed = copy.deepcopy(prior).eval(), seed
        noises = [prior.noise(level) for level in range(1, prior.process.levels + 1)]
        self.register_buffer("noises", torch.tensor(noises, device=home(prior)[0]), persistent=False)

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
        check_fits(self.prior, tuple(x.shape[1:]))
        sigma = _per_image(sigma, len(x), self.noises)
        u = x.to(home(self.prior)[1] or x.dtype)
        if z is None:
            z = randn((len(x), self.prior.latent), generator=Streams(self.seed, range(len(x))))
        z = z.to(u)
        lower, weight = self._mix(sigma)
        low = self._restored(u, lower, z, (lower > 0) & (weight < 1))
        high = self._restored(u, (lower + 1).clamp(max=len(self.noises)), z, weight > 0)
        return low.lerp(high, per_image(weight.to(u.dtype), u).expand_as(u)).to(x.dtype)

    def evaluations(self, sigma: float | Tensor) -> int:
        """Network evaluations of the image that needs the most."""
        values = torch.as_tensor(sigma).flatten()
        lower, weight = self._mix(_per_image(values, len(values), self.noises))
        return int((((lower > 0) & (weight < 1)).int() + (weight > 0).int()).max())

    def _mix(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The lower level, 0 … T, and the weight of the next one, of each image."""
        lower, last = torch.bucketize(sigma, self.noises, right=True), len(self.noises)
        ratio = (sigma / self.noises[0]).square()
        below = (1 + LEFT) * ratio / (ratio + LEFT)
        start, end = self.noises[(lower - 1).clamp(min=0)], self.noises[lower.clamp(max=last - 1)]
        between = (sigma / start).log() / (end / start).log()
        return lower, torch.where(lower == 0, below, torch.where(lower == last, 1.0, between))

    def _restored(self, x: Tensor, level: Tensor, z: Tensor, needed: Tensor) -> Tensor:
        """The network's answers from `level` where they are needed, and `x` elsewhere."""
        if not needed.any():
            return x
        y = self.prior.degrade(x[needed], level[needed], noise=math.inf)  # nothing is lacking: nothing is added
        answers = x.clone()
        answers[needed] = self.prior.restore(y, level[needed], z=z[needed])
        return answers


def _per_image(sigma: float | Tensor, n: int, like: Tensor) -> Tensor:
    values = torch.as_tensor(sigma, dtype=like.dtype, device=like.device).flatten()
    if len(values) not in (1, n):
        shape = tuple(torch.as_tensor(sigma).shape)
        raise IncompatibleError(f"sigma has the shape {shape} for a batch of {n}: give one number, or one per image")
    if not bool((values >= 0).all() and values.isfinite().all()):
        raise ConfigError(f"sigma is {values.tolist()}: give noise stds of 0 or more")
    return values.expand(n).contiguous()
