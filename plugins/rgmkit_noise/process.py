"""RGM-D: Gaussian noise, level by level."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from torch import Tensor

from rgmkit.core.linear import per_image
from rgmkit.core.process import ForwardProcess, interpolate_levels, noise_schedule
from rgmkit.deprecation import renamed_keyword


@final
class GaussianProcess(ForwardProcess):
    """`y_s = a_s x + sigma_s e`, `e ~ N(0, I)`, on images or points. Terminal law: N(0, sigma_T^2 I).

    Source: Choi, Park and Kang, ICML 2023, "RGM-D".

    Args:
        levels: number of levels T.
        schedule: "vp", the variance preserving schedule of the paper; "geometric", a geometric sequence of the ratios
            `sigma/a`; "linear", that of DDPM, for hundreds of levels; or "cosine".
        r_first, r_last: ratio `sigma/a` of levels 1 and T-1 of the geometric schedule.

    >>> import torch
    >>> process = GaussianProcess(levels=4)
    >>> y = process.degrade(torch.zeros(2, 1, 8, 8), torch.tensor([0, 4]))
    >>> float(y[0].std()), round(float(process.sigma(torch.tensor([4]))), 4)
    (0.0, 1.0)
    """

    continuous: ClassVar[bool] = True

    def __init__(
        self,
        *,
        levels: int = 4,
        schedule: Literal["vp", "geometric", "linear", "cosine"] = "vp",
        r_first: float = 0.1,
        r_last: float = 1.2,
    ) -> None:
        super().__init__(*noise_schedule(schedule, levels, r_first=r_first, r_last=r_last))

    def a(self, level: Tensor) -> Tensor:
        """Return the gain of the clean image, (B,); the level may lie between two of the levels 1 … T."""
        return self._interpolate(level)[0] if level.is_floating_point() else super().a(level)

    def sigma(self, level: Tensor) -> Tensor:
        """Return the noise std of one pixel, (B,); the level may lie between two of the levels 1 … T."""
        return self._interpolate(level)[1] if level.is_floating_point() else super().sigma(level)

    def _interpolate(self, level: Tensor) -> tuple[Tensor, Tensor]:
        return interpolate_levels(self.a_by_level[1:], self.sigma_by_level[1:], level - 1)

    def mean(self, x: Tensor, level: Tensor) -> Tensor:
        """Return `a_s x`."""
        return per_image(self.a(level), x) * x

    @renamed_keyword("noise", "standard_normal")
    def descend(
        self,
        x_hat: Tensor,
        y: Tensor,
        level: Tensor,
        eta: float,
        *,
        standard_normal: Tensor,
        target: Tensor | None = None,
    ) -> Tensor:
        """Draw `y_t = a_t x_hat + sqrt(sigma_t^2 - v) u + sqrt(v) e`, where `u = (y - a_s x_hat) / sigma_s`.

            v = eta^2 (sigma_t^2 / sigma_s^2) (sigma_s^2 - (a_s / a_t)^2 sigma_t^2)

        With eta = 1 it is a draw from `q(y_t | x_hat, y_s)`: the rule of denoising diffusion GANs, and of DDPM if
        `x_hat` is a mean. With eta = 0 nothing is drawn: DDIM.

        Source: Song, Meng and Ermon, "Denoising diffusion implicit models", ICLR 2021, equation 12.
        """
        target = level - 1 if target is None else target
        a, sigma, a_t, sigma_t = self.a(level), self.sigma(level), self.a(target), self.sigma(target)
        fresh = sigma.square() - (a / a_t).square() * sigma_t.square()
        variance = eta**2 * (sigma_t / sigma).square() * fresh
        ratio = (sigma_t.square() - variance).clamp(min=0).sqrt() / sigma
        mean = per_image(a_t - ratio * a, y) * x_hat + per_image(ratio, y) * y
        return mean + per_image(variance.sqrt(), y) * standard_normal
