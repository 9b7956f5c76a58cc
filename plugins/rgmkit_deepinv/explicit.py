"""The base class of hand-crafted priors, with a default weight for each noise and operator."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor
from typing_extensions import Self

from rgmkit.core.prior import Prior
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Problem
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.solvers.measurement import relative_noise

Prox: TypeAlias = Callable[[Tensor, "float | Tensor"], Tensor]
"""`prox(x, gamma)`; `gamma` is a number or a tensor (B,)."""


class ExplicitPrior(Prior):
    """`g(x) = weight * h(x)` with a function `h` of the image that deepinv evaluates.

    The solvers minimise `1/2 |(A x - y) / noise|^2 + g(x)`. Without a `weight`, `g` is `h` itself; the solvers
    of this plugin then choose

        weight = strength * gain^(1/4) / noise * (noise / 0.05)^exponent,

    where noise is the noise std over |A|, and `gain = |A|_F^2 / (n |A|^2)` the mean squared singular value of the
    operator over the n pixels of an image, relative to the largest (1 for denoising, .02 for a Gaussian blur of std 2).
    A prior that couples C channels multiplies it by `C^min(1/2, max(0, .3 + .11 ln(noise / .05)))`, since the norm of
    C channels of noise is sqrt(C) times that of one. docs/results/defaults.md says how the constants were chosen, and
    how far the default is from the best weight.

    Args:
        weight: factor of `h`, 0 or more. Default: from noise and operator, as above.
    """

    provides = frozenset({"value", "prox"})
    strength: ClassVar[float]
    exponent: ClassVar[float]
    coupled: bool = False  # whether the channels of a pixel have one norm
    least_threshold: ClassVar[float] = 0.02  # least `step * weight` of a splitting, for pixels that are not measured
    lossy_threshold: ClassVar[float | None] = None  # the same if the operator loses nearly everything; None: no more

    def __init__(self, *, weight: float | None = None) -> None:
        super().__init__()
        if weight is not None and not 0 <= weight < float("inf"):
            raise ConfigError(f"weight is {weight}: give the strength of the prior, a number of 0 or more")
        self.weight = None if weight is None else float(weight)

    @abstractmethod
    def make_prox(self, shape: tuple[int, ...]) -> Prox:
        """Return a prox for all iterations of one solver on images of `shape`; it may start from its last result."""

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """Return `g(x)` of each image, (B,)."""

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """Return `argmin_u gamma g(u) + 1/2 |u - x|^2`; `gamma` is a number or a tensor (B,)."""
        return self.make_prox(tuple(x.shape))(x, gamma)

    def with_default_weight(self, problem: Problem) -> Self:
        """Return this prior with the weight that was given, else with the default for noise and operator."""
        if self.weight is not None:
            return self
        prior, scale, noise = copy.copy(self), problem.scale, relative_noise(problem)
        prior.weight = self.default_weight(noise, scale.mean_gain / scale.largest_gain)
        if self.coupled:
            prior.weight *= problem.shape[1] ** min(0.5, max(0.0, 0.3 + 0.11 * math.log(noise / 0.05)))
        return prior

    @classmethod
    def default_weight(cls, noise: float, gain: float) -> float:
        """Return the default weight for a relative noise std and a relative gain, for one channel."""
        return cls.strength * gain**0.25 / noise * (noise / 0.05) ** cls.exponent

    def _factor(self) -> float:
        return 1.0 if self.weight is None else self.weight

    def _threshold(self, x: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `gamma * weight` of each image, (B,)."""
        return self._factor() * torch.as_tensor(gamma, dtype=x.dtype, device=x.device).expand(len(x))


def require_images(x: Tensor) -> Tensor:
    """Return `x` if it is a batch of images, else raise an IncompatibleError."""
    if x.ndim != 4:
        raise IncompatibleError(f"this prior is for images (B, C, H, W), and x has shape {tuple(x.shape)}")
    return x
