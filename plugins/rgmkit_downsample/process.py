"""RGM-SR: noise and lower resolution in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, final

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from rgmkit.core.bounds import Count
from rgmkit.core.linear import per_image
from rgmkit.core.process import ForwardProcess, noise_schedule
from rgmkit.errors import IncompatibleError


@final
class MultiscaleProcess(ForwardProcess):
    """`y_s = U_k P_k (a_n x + 2^n sigma_n e)` with `n = floor((s + 1)/2)` and `k = floor(s/2)`.

    `P_k` averages over blocks of 2^k x 2^k pixels, `U_k` repeats each average, which restores the size of
    the image. The noise of a pixel after averaging has std `2 sigma_n` for odd s and `sigma_n` for even s.
    Terminal law: white noise at the lowest resolution, repeated. Images only, of any size: where
    2^floor(levels/2) does not divide a side, the last blocks of a row or column are cut by the border. They
    average the m pixels within the image, and their noise is scaled by `sqrt(m) / 2^k`, which gives it the same std.

    Source: Choi, Park and Kang, ICML 2023, "RGM-SR".

    Args:
        levels: number of levels T, odd (the paper: 7) or even.
        schedule, r_first, r_last: of the noise schedule, which has `floor((T + 1)/2)` steps.

    >>> process = MultiscaleProcess(levels=7)
    >>> y = process.degrade(torch.rand(2, 3, 32, 32), torch.tensor([2, 7]))
    >>> bool((y[0, :, ::2] == y[0, :, 1::2]).all()), len(y[1, 0].unique())  # 16x16 and 4x4 pixels
    (True, 16)
    """

    def __init__(
        self,
        *,
        levels: Count = 7,
        schedule: Literal["vp", "geometric"] = "vp",
        r_first: float = 0.1,
        r_last: float = 1.2,
    ) -> None:
        a, sigma = noise_schedule(schedule, max(1, (levels + 1) // 2) if levels else 0, r_first=r_first, r_last=r_last)
        n = [(s + 1) // 2 for s in range(levels + 1)]
        pixel_sigma = [sigma[n[s]] * (2 if s % 2 else 1) for s in range(levels + 1)]
        super().__init__([a[i] for i in n], pixel_sigma)
        self.register_buffer("full_size_sigma", torch.tensor([2**i * sigma[i] for i in n]), persistent=False)

    full_size_sigma: Tensor
    keeps_resolution = False

    def mean(self, x: Tensor, level: Tensor) -> Tensor:
        """Return `U_k P_k a_n x`."""
        return self._by_level(_averages, per_image(self.a(level), x) * x, level)

    def shape_noise(self, e: Tensor, level: Tensor) -> Tensor:
        """Return `U_k P_k 2^n sigma_n e`, with the same std in blocks that the border cuts."""
        return self._by_level(_averaged_noise, per_image(self.full_size_sigma[level], e) * e, level)

    def denoising_levels(self) -> tuple[Tensor, Tensor]:
        """Return the odd levels, which of the two with the same noise before averaging have the higher resolution."""
        levels, _ = super().denoising_levels()
        return levels[::2], (self.full_size_sigma / self.a_by_level)[1::2]

    def _by_level(self, average: Callable[[Tensor, int], Tensor], x: Tensor, level: Tensor) -> Tensor:
        """Apply `average(x, 2^k)` with the k of each image."""
        if x.ndim != 4:
            raise IncompatibleError(
                f"the multiscale process works on images (B, C, H, W), and got a batch of shape {tuple(x.shape)}"
            )
        k = level // 2
        for halvings in range(1, self.levels // 2 + 1):
            x = torch.where(per_image(k == halvings, x).bool(), average(x, 2**halvings), x)
        return x


def _averages(x: Tensor, side: int) -> Tensor:
    """Replace each pixel by the average of its block of `side` x `side` pixels, without those beyond the border."""
    blocks = avg_pool2d(x, side, ceil_mode=True)
    return interpolate(blocks, scale_factor=float(side), mode="nearest")[..., : x.shape[-2], : x.shape[-1]]


def _averaged_noise(e: Tensor, side: int) -> Tensor:
    """Average white noise over blocks, with the std of a whole block in all of them."""
    rows, columns = (_fraction_inside(length, side, like=e) for length in e.shape[-2:])
    return (rows[:, None] * columns).sqrt() * _averages(e, side)


def _fraction_inside(length: int, side: int, *, like: Tensor) -> Tensor:
    """Return, for each position along an axis, the fraction of its block within the image: 1 except in the last."""
    start = torch.arange(length, device=like.device) // side * side
    return ((start + side).clamp(max=length) - start).to(like) / side
