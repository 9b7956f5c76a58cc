"""Forward processes: degradations in levels, from the clean image (level 0) to no information about it (level T)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from rgmkit.core.linear import per_image
from rgmkit.core.printable import Printable
from rgmkit.core.random import Randomness, randn
from rgmkit.deprecation import accept_old_keyword, renamed_keyword
from rgmkit.errors import ConfigError, IncompatibleError


class ForwardProcess(Printable, nn.Module, ABC):
    """`y_s = A_s x + noise_s` for the levels `s = 0` (clean) … T (no information left), where T is `levels`.

    A process acts on images `(B, C, H, W)` in [-1, 1], or on points `(B, d)` divided by their standard deviation.
    `level` is always that of the degraded image: int64 `(B,)`, one for each image of the batch. A subclass defines
    `mean`, and `shape_noise` if its noise is not white.

    Args:
        a: gain of the clean image at each level 0 … T, `a[0] = 1`.
        sigma: noise std of one pixel at each level 0 … T, `sigma[0] = 0`.
    """

    a_by_level: Tensor
    sigma_by_level: Tensor
    continuous: ClassVar[bool] = False  # whether `mean` takes fractional levels, floats of 1 or more
    keeps_resolution: bool = True  # whether the levels for denoising only add noise

    def __init__(self, a: Sequence[float], sigma: Sequence[float]) -> None:
        super().__init__()
        self.levels = len(a) - 1
        self.register_buffer("a_by_level", torch.tensor(a, dtype=torch.float64).float(), persistent=False)
        self.register_buffer("sigma_by_level", torch.tensor(sigma, dtype=torch.float64).float(), persistent=False)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for method in ("degrade", "descend"):
            accept_old_keyword(cls, method, "noise", "standard_normal")

    @abstractmethod
    def mean(self, x: Tensor, level: Tensor) -> Tensor:
        """`A_s x`, image-shaped; `x` itself where the level is 0."""

    def shape_noise(self, e: Tensor, level: Tensor) -> Tensor:
        """Return the noise of a level, given a standard normal draw `e`. Default: white, `sigma_s e`."""
        return per_image(self.sigma(level), e) * e

    def a(self, level: Tensor) -> Tensor:
        """Gain of the clean image, (B,)."""
        return self.a_by_level[level]

    def sigma(self, level: Tensor) -> Tensor:
        """Noise std of one pixel, (B,)."""
        return self.sigma_by_level[level]

    @renamed_keyword("noise", "standard_normal")
    def degrade(
        self, x: Tensor, level: Tensor, *, standard_normal: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Draw `y_s = A_s x + noise_s`; `standard_normal` is used in place of a new draw, if given."""
        if standard_normal is None:
            standard_normal = randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return self.mean(x, level) + self._noise_of(x, standard_normal, level)

    def _noise_of(self, x: Tensor, e: Tensor, level: Tensor) -> Tensor:
        """Return the noise of the images `x`. Default: that of `shape_noise`, which is the same for all images."""
        return self.shape_noise(e, level)

    def fidelity(self, x_hat: Tensor, y: Tensor, level: Tensor) -> Tensor:
        """Return `1/2 |y - A_s x_hat|^2 / sigma_s^2`, summed over each image, for levels of 1 or more: (B,)."""
        error = (y - self.mean(x_hat, level)).flatten(1)
        return error.square().sum(1) / (2 * self.sigma(level).to(error).square())

    def terminal(
        self, shape: Sequence[int], *, generator: Randomness = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Draw `y_T` from a uniform grey, since `y_T` does not depend on the image."""
        grey = torch.zeros(*shape, device=device)
        return self.degrade(grey, self.full_level(self.levels, grey), generator=generator)

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
        """Draw `y_t` of a lower level t, given the image `y` of level s and the estimate `x_hat` made from it.

        t is `target`, by default s - 1.

        Raises:
            IncompatibleError: if the distribution of `y_t` given both is not known, which is the default.
        """
        raise IncompatibleError(
            f"the process {type(self).__name__} does not know the distribution of y_(s-1) given y_s and an estimate: "
            f"leave out eta, or train on a gaussian process"
        )

    @property
    def error_by_level(self) -> Tensor:
        """Error of the estimate `a_s y` at each level, roughly: what networks add to it. Default: the noise std."""
        return self.sigma_by_level

    def denoising_levels(self) -> tuple[Tensor, Tensor]:
        """Return levels for denoising, int64, and the std of the noise that each is for, relative to the image.

        `mean` of an image with white noise of this std is an image of that level. Both increase. Default: all levels
        1 … T, `sigma_s / a_s`.
        """
        levels = torch.arange(1, self.levels + 1, device=self.a_by_level.device)
        return levels, (self.sigma_by_level / self.a_by_level)[1:]

    def full_level(self, level: int, like: Tensor) -> Tensor:
        """Return `level` for every image of the batch `like`: int64 (B,)."""
        return torch.full((len(like),), level, dtype=torch.int64, device=like.device)


def interpolate_levels(a: Tensor, sigma: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolate gain and noise std between levels, with a log-linear ratio `sigma/a`.

    Args:
        a, sigma: of the levels 0, 1, …, with `a^2 + sigma^2 = 1`, and sigma above 0.
        level: floats (B,) of 0 or more.
    """
    low = level.floor().long()
    log_ratio = (sigma / a).log()
    ratio = log_ratio[low].lerp(log_ratio[level.ceil().long()], level - low).exp()
    gain = (1 + ratio.square()).rsqrt()
    return gain, ratio * gain


BETA_MIN, BETA_MAX, TAU_0 = 0.1, 20.0, 1e-3  # of the variance preserving schedule (paper, appendix)
MOST_LEVELS = 100_000
LAST_RATIO = 150.0  # noise over signal at level T of a geometric schedule: practically pure noise


def noise_schedule(
    schedule: str, levels: int, *, r_first: float = 0.1, r_last: float = 1.2
) -> tuple[list[float], list[float]]:
    """Return gains `a` and noise stds `sigma` of the levels 0 … `levels`, with `a^2 + sigma^2 = 1`.

    `vp`: `tau_k = 1e-3 + (1 - 1e-3) k/T`, `abar = exp(-tau^2 (20 - .1)/2 - .1 tau)`,
    `a_k = sqrt(abar(tau_k) / abar(tau_0))`: the variance preserving schedule of the paper.
    `geometric`: `sigma/a` grows geometrically from `r_first` at level 1 to `r_last` at level T-1, and is 150 at T.
    `linear`: `a_k^2 = prod_{i <= k} (1 - beta_i)`, beta rising linearly from .1/T to 20/T; DDPM has T = 1,000. The
    limit of many levels is `vp`.
    `cosine`: `beta_k = min(.999, 1 - f_k / f_{k-1})`, `f_k = cos^2((k/T + .008) / 1.008 pi/2)`.

    Raises:
        ConfigError: for another schedule, or levels or ratios out of range.

    Source: Ho, Jain and Abbeel, "Denoising diffusion probabilistic models", 2020 (linear); Nichol and Dhariwal,
    "Improved denoising diffusion probabilistic models", 2021 (cosine).

    >>> a, sigma = noise_schedule("vp", 4)
    >>> [round(value, 6) for value in a]
    [1.0, 0.722319, 0.280492, 0.058557, 0.006572]
    """
    if not 1 <= levels <= MOST_LEVELS:
        raise ConfigError(f"levels is {levels}: a forward process has at least one level, and at most {MOST_LEVELS}")
    if schedule == "vp":
        tau = TAU_0 + (1 - TAU_0) * np.arange(levels + 1) / levels
        log_abar = -(tau**2) * (BETA_MAX - BETA_MIN) / 2 - tau * BETA_MIN
        a = np.exp((log_abar - log_abar[0]) / 2)
    elif schedule == "geometric":
        if not 0 < r_first <= r_last < LAST_RATIO:
            raise ConfigError(
                f"r_first is {r_first} and r_last {r_last}: a geometric schedule needs "
                f"0 < r_first <= r_last < {LAST_RATIO:g}"
            )
        steps = np.geomspace(r_first, r_last, levels - 1) if levels > 1 else np.empty(0)
        a = 1 / np.sqrt(1 + np.square([0.0, *steps, LAST_RATIO]))
    elif schedule == "linear":
        if levels <= BETA_MAX:
            raise ConfigError(f"levels is {levels}: a linear schedule has more than {BETA_MAX:g}; give vp for fewer")
        a = _gains(1 - np.linspace(BETA_MIN, BETA_MAX, levels) / levels)
    elif schedule == "cosine":
        f = np.cos((np.arange(levels + 1) / levels + 0.008) / 1.008 * np.pi / 2) ** 2
        a = _gains(np.maximum(f[1:] / f[:-1], 0.001))
    else:
        raise ConfigError(f"schedule is {schedule!r}: give 'vp', 'geometric', 'linear' or 'cosine'")
    return a.tolist(), [math.sqrt(max(0.0, 1 - value**2)) for value in a]


def _gains(alpha: np.ndarray) -> np.ndarray:
    """Return the gains of the levels 0 … T, given the factors of their squares."""
    return np.sqrt(np.cumprod([1.0, *alpha]))
