"""deepinv's priors and denoisers as priors, and any of its objects by one function."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, final

import torch
from deepinv import optim
from deepinv.models import BM3D
from deepinv.models.base import Denoiser
from deepinv.physics import Physics as DeepinvPhysics
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import per_image
from rgmkit.core.prior import Prior
from rgmkit.core.random import Randomness
from rgmkit.errors import IncompatibleError
from rgmkit_deepinv.copying import copied
from rgmkit_deepinv.physics import Physics, unwrapped
from rgmkit_deepinv.priors import TV, ExplicitPrior, Prox, Tikhonov
from rgmkit_deepinv.variations import L1, TVL1
from rgmkit_deepinv.wavelet import Wavelet


def from_deepinv(thing: Any, **options: Any) -> Degradation | Prior:
    """A deepinv operator as a degradation, or a deepinv prior or denoiser as a prior; `thing` is never changed.

    `options` are those of `Physics` (image_shape, noise) and of explicit priors (weight). An operator that
    `Degradation.to_deepinv` made becomes again what it was made of, and a prior that is there by name, such as
    `TVPrior`, the one by name, which takes its weight from the noise; as to others see `Explicit`.

    Raises:
        IncompatibleError: for anything else.

    >>> from deepinv.optim import L1Prior
    >>> from_deepinv(L1Prior(), weight=2).value(torch.ones(1, 1, 2, 2))
    tensor([8.])
    """
    if isinstance(thing, DeepinvPhysics):
        return (None if options else unwrapped(thing)) or Physics(physics=thing, **options)
    if isinstance(thing, optim.PnP):
        return Denoising(denoiser=thing.denoiser, **options)
    if type(thing) in NAMED:
        return NAMED[type(thing)](**options)
    if isinstance(thing, optim.Prior) and thing.explicit_prior:
        return Explicit(prior=thing, **options)
    if isinstance(thing, Denoiser):
        return Denoising(denoiser=thing, **options)
    hint = "; its denoiser, prior.denoiser, is one" if hasattr(thing, "denoiser") else ""
    raise IncompatibleError(
        f"{type(thing).__name__} is no deepinv LinearPhysics, Denoiser, PnP or explicit Prior: pass one of those{hint}"
    )


NAMED: dict[type, Callable[..., Prior]] = {
    optim.L1Prior: L1,
    optim.Tikhonov: partial(Tikhonov, center=0.0),
    optim.TVL1Prior: TVL1,
    optim.TVPrior: TV,
}
"""Priors of deepinv that are there by name."""


@final
class Explicit(ExplicitPrior):
    """`g(x) = weight * h(x)` with a deepinv prior `h` that has a value.

    Args:
        prior: `h`; a copy is taken, and each prox uses a new one, so that none depends on an earlier one.
        weight: factor of `h`. Default: from the noise as for `wavelet`, if `h` is a `WaveletPrior` with p = 1; of
            another `h` nothing is known: it counts as it is, with weight 1, and a note says so.
    """

    def __init__(self, *, prior: optim.Prior, weight: float | None = None) -> None:
        super().__init__(weight=weight)
        self.prior = copied(prior)

    def value(self, x: Tensor) -> Tensor:
        """`weight * h(x)`, (B,)."""
        return self._factor() * self.prior(x)

    def run_prox(self, shape: tuple[int, ...]) -> Prox:
        """deepinv's prox, of `gamma * weight * h`."""

        def prox(x: Tensor, gamma: float | Tensor) -> Tensor:
            prior, threshold = copy.deepcopy(self.prior), self._threshold(x, gamma)
            if isinstance(prior, optim.WaveletPrior):  # its own default thresholds by a tenth of gamma
                return prior.prox(x, ths=1.0, gamma=threshold)
            return prior.prox(x, gamma=per_image(threshold, x))

        return prox

    def weighted(self, noise: float, gain: float) -> Explicit:
        """Wavelets without a weight get that of `wavelet`; others stay as they are."""
        if self.weight is None and isinstance(self.prior, optim.WaveletPrior) and self.prior.p == 1:
            return Explicit(prior=self.prior, weight=Wavelet.weight_for(noise, gain))
        return self


class Plugged(Prior):
    """Plug and play: a deepinv denoiser of noise std `sqrt(gamma)` stands in for the prox of `gamma g`."""

    provides = frozenset({"prox"})

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """`denoiser(x, sqrt(gamma))`.

        Raises:
            IncompatibleError: by BM3D, if the image is not larger than a block of 8 x 8 pixels, where its package
                crashes.
        """
        small = x.ndim != 4 or min(x.shape[-2:]) < 9
        if small and any(isinstance(part, BM3D) and part.use_legacy for part in self.denoiser.modules()):
            raise IncompatibleError(f"BM3D is for images of 9 x 9 pixels or more, not {tuple(x.shape)}")
        return self.denoiser(x, torch.as_tensor(gamma, dtype=x.dtype, device=x.device).sqrt().expand(len(x)))


@final
class Denoising(Plugged):
    """Plug and play with any denoiser of deepinv.

    Args:
        denoiser: called as `denoiser(x, std)` with std a tensor (B,); a copy is taken.
    """

    def __init__(self, *, denoiser: Denoiser) -> None:
        super().__init__(copied(denoiser))
