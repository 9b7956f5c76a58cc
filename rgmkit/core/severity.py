"""The forward process of any degradation at increasing severity, for training."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import per_image
from rgmkit.core.process import ForwardProcess, noise_schedule
from rgmkit.errors import IncompatibleError


@final
class SeverityProcess(ForwardProcess):
    """`y_s = 2 embed(A^(s)((a_s x + 1)/2)) - 1 + sigma_s e`: a degradation at increasing severity, and noise.

    `A^(s)` is the degradation at severity `s/T`. The operator acts on [0, 1], the process on [-1, 1].
    The noise is that of the schedule; that of the degradation is not used. Since `a_T` is near 0, `y_T` is a degraded
    uniform grey plus N(0, sigma_T^2 I).

    Args:
        degradation: the operator at level T.
        levels: number of levels T.
        schedule, r_first, r_last: the noise schedule, see `noise_schedule`.

    >>> class Mirror(Degradation):
    ...     def A(self, x):
    ...         return x.flip(-1)
    >>> process = SeverityProcess(degradation=Mirror(), levels=4)
    >>> process.degrade(torch.rand(2, 3, 8, 8), torch.tensor([1, 4])).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        *,
        degradation: Degradation,
        levels: int = 4,
        schedule: Literal["vp", "geometric"] = "vp",
        r_first: float = 0.1,
        r_last: float = 1.2,
    ) -> None:
        super().__init__(*noise_schedule(schedule, levels, r_first=r_first, r_last=r_last))
        self.degradations = torch.nn.ModuleList([degradation.at(s / levels) for s in range(levels + 1)])

    def mean(self, x: Tensor, level: Tensor) -> Tensor:
        """`2 embed(A^(s)((a_s x + 1)/2)) - 1`; `x` itself at level 0."""
        scaled = (per_image(self.a(level), x) * x + 1) / 2
        out = x.clone()
        for s in range(1, self.levels + 1):
            chosen = (level == s).nonzero()[:, 0]
            if len(chosen):
                out = out.index_copy(0, chosen, 2 * self._degrade(scaled[chosen], s) - 1)
        return out

    def _degrade(self, x: Tensor, level: int) -> Tensor:
        """`embed(A^(s)(x))`, without noise."""
        degradation = self.degradations[level]
        assert isinstance(degradation, Degradation)
        embedded = degradation.embed(degradation.A(x))
        if embedded.shape != x.shape:
            raise IncompatibleError(
                f"{type(degradation).__name__} turns images of shape {tuple(x.shape)} into {tuple(embedded.shape)}: "
                f"to train on it, its embed(y) must have the shape of the image"
            )
        return embedded
