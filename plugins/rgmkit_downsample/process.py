"""RGM-SR: noise and resolution step down in turn."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from rgmkit.core.linear import per_image
from rgmkit.core.process import ForwardProcess, ladder
from rgmkit.errors import IncompatibleError


@final
class MultiscaleProcess(ForwardProcess):
    """`y_s = U_k P_k (a_n x + 2^n sigma_n e)` with `n = floor((s + 1)/2)` and `k = floor(s/2)`.

    `P_k` averages k times over 2x2 pixels, `U_k` repeats each pixel to come back to the size of the
    image. The noise of a pixel after averaging has std `2 sigma_n` for odd s and `sigma_n` for even s.
    Terminal law: white noise at the lowest resolution, repeated. Images only; their sides must be
    multiples of `2^floor(levels/2)`.

    Source: Choi, Park and Kang, ICML 2023, "RGM-SR".

    Args:
        levels: number of levels T, odd (the paper: 7) or even.
        schedule, r_first, r_last: of the noise ladder, which has `floor((T + 1)/2)` steps.

    >>> process = MultiscaleProcess(levels=7)
    >>> y = process.degrade(torch.rand(2, 3, 32, 32), torch.tensor([2, 7]))
    >>> bool((y[0, :, ::2] == y[0, :, 1::2]).all()), len(y[1, 0].unique())  # 16x16 and 4x4 pixels
    (True, 16)
    """

    def __init__(
        self,
        *,
        levels: int = 7,
        schedule: Literal["vp", "geometric"] = "vp",
        r_first: float = 0.1,
        r_last: float = 1.2,
    ) -> None:
        a, sigma = ladder(schedule, max(1, (levels + 1) // 2) if levels else 0, r_first=r_first, r_last=r_last)
        n = [(s + 1) // 2 for s in range(levels + 1)]
        pixel = [sigma[n[s]] * (2 if s % 2 else 1) for s in range(levels + 1)]
        super().__init__([a[i] for i in n], pixel)
        self.register_buffer("full_size_sigma", torch.tensor([2**i * sigma[i] for i in n]), persistent=False)

    full_size_sigma: Tensor

    def mean(self, x: Tensor, level: Tensor) -> Tensor:
        """`U_k P_k a_n x`."""
        return self._pixelate(per_image(self.a(level), x) * x, level)

    def shape_noise(self, e: Tensor, level: Tensor) -> Tensor:
        """`U_k P_k 2^n sigma_n e`."""
        return self._pixelate(per_image(self.full_size_sigma[level], e) * e, level)

    def _pixelate(self, x: Tensor, level: Tensor) -> Tensor:
        """`U_k P_k x` with the k of each image."""
        coarsest = 2 ** (self.levels // 2)
        if x.ndim != 4 or x.shape[-1] % coarsest or x.shape[-2] % coarsest:
            raise IncompatibleError(
                f"the multiscale process of {self.levels} levels got a batch of shape {tuple(x.shape)}: it "
                f"needs images whose sides are multiples of {coarsest}; crop them, or take fewer levels"
            )
        k = level // 2
        for halvings in range(1, self.levels // 2 + 1):
            pooled = avg_pool2d(x, 2**halvings)
            repeated = interpolate(pooled, scale_factor=float(2**halvings), mode="nearest")
            x = torch.where(per_image(k == halvings, x).bool(), repeated, x)
        return x
