"""Hand-made priors, evaluated by deepinv: total variation and Tikhonov; what they share with wavelets."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeAlias, TypeVar

import torch
from deepinv import optim
from torch import Tensor

from rgmkit.core.linear import per_image
from rgmkit.core.prior import Prior
from rgmkit.core.random import Randomness
from rgmkit.errors import ConfigError, IncompatibleError

Prox: TypeAlias = Callable[[Tensor, "float | Tensor"], Tensor]
"""`prox(x, gamma)`; `gamma` is a number or a tensor (B,)."""

Self = TypeVar("Self", bound="ExplicitPrior")


class ExplicitPrior(Prior):
    """`g(x) = weight * h(x)`, with a function `h` of the image that deepinv evaluates.

    The solvers minimise `1/2 |(A x - y) / noise|^2 + g(x)`. Without a `weight`, `g` is `h` itself, and this
    plugin's solvers take

        weight = strength * gain^(1/4) / noise * (noise / 0.05)^exponent,

    where `gain = |A|_F^2 / n` is the mean squared singular value of the operator over the n pixels of an
    image (1 for denoising, .02 for a Gaussian blur of std 2). The form and both numbers of each prior
    were fitted to the best PSNR on four scikit-image photographs (camera, astronaut, coffee, chelsea) in
    grey at 128x128 and on 64 digits at 16x16, for denoising, blur (std 1, 2, 4) and downsampling (2, 4)
    with noise .02, .05, .1 and .2. Each class says how far below the best weight of each case that stays;
    one weight for all of them is up to 2.6 dB below it with `tv`. docs/results/defaults.md has the table.

    Args:
        weight: factor of `h`, 0 or more. Default: from the noise, as above.
    """

    provides = frozenset({"value", "prox"})
    strength: ClassVar[float]
    exponent: ClassVar[float]

    def __init__(self, *, weight: float | None = None) -> None:
        super().__init__()
        if weight is not None and not 0 <= weight < float("inf"):
            raise ConfigError(f"weight is {weight}: give the strength of the prior, a number of 0 or more")
        self.weight = None if weight is None else float(weight)

    @abstractmethod
    def run_prox(self, shape: tuple[int, ...]) -> Prox:
        """A prox for the many calls of one solver's run on images of `shape`; it may remember its last answer."""

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """`g(x)` of each image, (B,)."""

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """`argmin_u gamma g(u) + 1/2 |u - x|^2`; `gamma` is a number or a tensor (B,)."""
        return self.run_prox(tuple(x.shape))(x, gamma)

    def weighted(self: Self, noise: float, gain: float) -> Self:
        """This prior with the weight that was given, or else with the one for a noise std and a gain."""
        if self.weight is not None:
            return self
        prior = copy.copy(self)
        prior.weight = self.weight_for(noise, gain)
        return prior

    @classmethod
    def weight_for(cls, noise: float, gain: float) -> float:
        """The default weight for a noise std and a gain."""
        return cls.strength * gain**0.25 / noise * (noise / 0.05) ** cls.exponent

    def _factor(self) -> float:
        return 1.0 if self.weight is None else self.weight

    def _threshold(self, x: Tensor, gamma: float | Tensor) -> Tensor:
        """`gamma * weight` of each image, (B,)."""
        return self._factor() * torch.as_tensor(gamma, dtype=x.dtype, device=x.device).expand(len(x))


class TV(ExplicitPrior):
    """Isotropic total variation, `h(x) = sum_p sqrt((x_right - x_p)^2 + (x_below - x_p)^2)`, per channel.

    Differences across the border are 0. The prox has no closed form: deepinv runs an over-relaxed
    Chambolle-Pock iteration, 300 steps of which leave a root mean square error of about .2 % of
    `gamma * weight`. Within the run of a solver each prox starts from the answer of the last one, and 10
    steps do. The number of steps never depends on the image, so that a batch gives what each of its images
    gives. There is no gradient where neighbours are equal, so `grad` is not provided.

    The default weight is .1 dB below the best one on average, .3 dB at most on photographs, .9 dB on digits.

    Args:
        weight: factor of `h`, 0 or more; most useful are 1 to 25. Default: from the noise, see `ExplicitPrior`.
        steps: of the inner iteration of a prox on its own.
        warm_steps: of the inner iteration of each prox in the run of a solver.

    Source: L. Condat, 2013 (the iteration); Rudin, Osher and Fatemi, 1992 (the prior).

    >>> x = torch.zeros(1, 1, 4, 6)
    >>> x[..., 3:] = 1  # an edge of 4 pixels
    >>> TV(weight=2).value(x)
    tensor([8.])
    """

    strength, exponent = 0.5, 0.25

    def __init__(self, *, weight: float | None = None, steps: int = 300, warm_steps: int = 10) -> None:
        super().__init__(weight=weight)
        if min(steps, warm_steps) < 1:
            raise ConfigError(f"steps is {steps} and warm_steps {warm_steps}: give 1 or more")
        self.steps, self.warm_steps = steps, warm_steps

    def value(self, x: Tensor) -> Tensor:
        """`weight * h(x)`, (B,)."""
        return self._factor() * optim.TVPrior().fn(images_only(x))

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """`argmin_u gamma weight h(u) + 1/2 |u - x|^2`; `gamma` is a number or a tensor (B,)."""
        return self._prox(self.steps)(x, gamma)

    def run_prox(self, shape: tuple[int, ...]) -> Prox:
        """A prox that starts each time from where it ended the last time."""
        return self._prox(self.warm_steps)

    def _prox(self, steps: int) -> Prox:
        tv = optim.TVPrior(def_crit=0, n_it_max=steps)
        tv.TVModel.tau = 0.03  # for [0, 1] images: 100 steps are as accurate as 180 with deepinv's .01
        return lambda x, gamma: tv.prox(images_only(x), gamma=self._threshold(x, gamma))


class Tikhonov(ExplicitPrior):
    """`h(x) = 1/2 |x - center|^2`: independent Gaussian pixels of mean `center` and variance `1 / weight`.

    It undoes blur; against noise alone, or in super-resolution, it gains little and may lose. The default
    weight is .6 dB below the best one on average, 1.4 dB at most on photographs, 2 dB on digits.

    Args:
        weight: factor of `h`, 0 or more. Default: from the noise, see `ExplicitPrior`.
        center: the value that pixels are drawn to.

    >>> Tikhonov(weight=1, center=0).prox(torch.ones(1, 1, 1, 2), gamma=1)
    tensor([[[[0.5000, 0.5000]]]])
    """

    provides = frozenset({"value", "grad", "prox"})
    strength, exponent = 1.8, 0.0

    def __init__(self, *, weight: float | None = None, center: float = 0.5) -> None:
        super().__init__(weight=weight)
        self.center = float(center)

    def value(self, x: Tensor) -> Tensor:
        """`weight * h(x)`, (B,)."""
        return self._factor() * optim.Tikhonov().fn(x - self.center)

    def grad(self, x: Tensor) -> Tensor:
        """`weight * (x - center)`."""
        return self._factor() * optim.Tikhonov().grad(x - self.center)

    def run_prox(self, shape: tuple[int, ...]) -> Prox:
        """`center + (x - center) / (1 + gamma weight)`."""

        def prox(x: Tensor, gamma: float | Tensor) -> Tensor:
            threshold = per_image(self._threshold(x, gamma), x)
            return self.center + optim.Tikhonov().prox(x - self.center, gamma=threshold)

        return prox


def images_only(x: Tensor) -> Tensor:
    """`x`, if it is a batch of images."""
    if x.ndim != 4:
        raise IncompatibleError(f"this prior is one of images (B, C, H, W), and x has the shape {tuple(x.shape)}")
    return x
