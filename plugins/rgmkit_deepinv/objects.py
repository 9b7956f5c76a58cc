"""deepinv's priors and denoisers as priors, and any of its objects by one function."""

from __future__ import annotations

import copy
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
from rgmkit_deepinv.priors import TV


def from_deepinv(thing: Any, **options: Any) -> Degradation | Prior:
    """A deepinv operator as a degradation, or a deepinv prior or denoiser as a prior; `thing` is never changed.

    `options` are those of `Physics` (image_shape, noise) and of `Explicit` (weight). An operator that
    `Degradation.to_deepinv` made becomes again what it was made of, and a `TVPrior` without a weight the prior `tv`,
    which takes its weight from the noise; other priors have the weight 1.

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
    if type(thing) is optim.TVPrior and not options:
        return TV()
    if isinstance(thing, optim.Prior) and thing.explicit_prior:
        return Explicit(prior=thing, **options)
    if isinstance(thing, Denoiser):
        return Denoising(denoiser=thing, **options)
    hint = "; its denoiser, prior.denoiser, is one" if hasattr(thing, "denoiser") else ""
    raise IncompatibleError(
        f"{type(thing).__name__} is no deepinv LinearPhysics, Denoiser, PnP or explicit Prior: pass one of those{hint}"
    )


@final
class Explicit(Prior):
    """`g(x) = weight * h(x)` with a deepinv prior `h` that has a value.

    Args:
        prior: `h`; a copy is taken, and each prox uses a new one, so that none depends on an earlier one.
        weight: factor of `h`.
    """

    provides = frozenset({"value", "prox"})

    def __init__(self, *, prior: optim.Prior, weight: float = 1.0) -> None:
        super().__init__()
        self.prior, self.weight = copied(prior), float(weight)

    def value(self, x: Tensor) -> Tensor:
        """`weight * h(x)`, (B,)."""
        return self.weight * self.prior(x)

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """deepinv's prox, of `gamma * weight * h`."""
        threshold = self.weight * torch.as_tensor(gamma, dtype=x.dtype, device=x.device).expand(len(x))
        prior = copy.deepcopy(self.prior)
        if isinstance(prior, optim.WaveletPrior):  # its own default thresholds by a tenth of gamma
            return prior.prox(x, ths=1.0, gamma=threshold)
        return prior.prox(x, gamma=per_image(threshold, x))


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
