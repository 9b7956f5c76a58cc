"""Objects of deepinv as degradations and priors of rgmkit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, final

from deepinv import optim
from deepinv.models.base import Denoiser
from deepinv.physics import LinearPhysics, StackedPhysics
from deepinv.physics import Physics as DeepinvPhysics
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import per_image
from rgmkit.core.prior import Prior
from rgmkit.core.solver import Problem
from rgmkit.errors import IncompatibleError
from rgmkit_deepinv.copying import copy_module
from rgmkit_deepinv.explicit import ExplicitPrior, Prox
from rgmkit_deepinv.physics import NonlinearPhysics, Physics, unwrap
from rgmkit_deepinv.pixelwise import L1, Tikhonov
from rgmkit_deepinv.plug_and_play import DenoiserPrior
from rgmkit_deepinv.total_variation import TV, TVL1
from rgmkit_deepinv.wavelet import Wavelet


def from_deepinv(thing: Any, **options: Any) -> Degradation | Prior:
    """Convert an operator of deepinv to a degradation, or a prior or denoiser of deepinv to a prior.

    `thing` is never changed. An operator made by `Degradation.to_deepinv` gives the degradation that it was made
    from. A prior that rgmkit has by name, such as `TVPrior`, is converted to rgmkit's own, whose default weight depends
    on the noise; for others see `DeepinvPrior`.

    Args:
        thing: the operator, prior or denoiser.
        options: those of `Physics` and `NonlinearPhysics` (image_shape, noise) or of an explicit prior (weight).

    Raises:
        IncompatibleError: for any other object.

    >>> import torch
    >>> from deepinv.optim import L1Prior
    >>> from_deepinv(L1Prior(), weight=2).value(torch.ones(1, 1, 2, 2))
    tensor([8.])
    """
    if isinstance(thing, DeepinvPhysics):
        kind = Physics if isinstance(thing, LinearPhysics | StackedPhysics) else NonlinearPhysics
        return (None if options else unwrap(thing)) or kind(physics=thing, **options)
    if isinstance(thing, optim.PnP):
        return DenoiserPrior(denoiser=thing.denoiser, **options)
    if type(thing) in NAMED:
        return NAMED[type(thing)](**options)
    if isinstance(thing, optim.Prior) and thing.explicit_prior:
        return DeepinvPrior(prior=thing, **options)
    if isinstance(thing, Denoiser):
        return DenoiserPrior(denoiser=thing, **options)
    hint = "; its denoiser, prior.denoiser, is one" if hasattr(thing, "denoiser") else ""
    raise IncompatibleError(
        f"{type(thing).__name__} is not a deepinv Physics, Denoiser, PnP or explicit Prior: pass one{hint}"
    )


NAMED: dict[type, Callable[..., Prior]] = {
    optim.L1Prior: L1,
    optim.Tikhonov: partial(Tikhonov, center=0.0),
    optim.TVL1Prior: TVL1,
    optim.TVPrior: partial(TV, coupled=False),
}
"""The priors of deepinv that rgmkit has by name."""


@final
class DeepinvPrior(ExplicitPrior):
    """`g(x) = weight * h(x)` with a deepinv prior `h` that has a value.

    Args:
        prior: `h`; a copy is taken, and each prox uses a fresh copy, so that it does not depend on earlier calls.
        weight: factor of `h`. Default: that of `wavelet` if `h` is a `WaveletPrior` with p = 1; for any other `h` no
            good default is known: the weight is 1, and a note says so.

    Raises:
        IncompatibleError: for a `WaveletPrior` with p = inf, whose prox in deepinv is not that of its value.
    """

    def __init__(self, *, prior: optim.Prior, weight: float | None = None) -> None:
        super().__init__(weight=weight)
        if isinstance(prior, optim.WaveletPrior) and prior.p not in (0, 1):
            raise IncompatibleError(f"deepinv's prox of WaveletPrior(p={prior.p}) is not that of its value: give p=1")
        self.prior = copy_module(prior)

    def value(self, x: Tensor) -> Tensor:
        """Return `weight * h(x)`, (B,)."""
        return self._factor() * self.prior(x)

    def make_prox(self, shape: tuple[int, ...]) -> Prox:
        """Return deepinv's prox of `gamma * weight * h`."""

        def prox(x: Tensor, gamma: float | Tensor) -> Tensor:
            prior, threshold = copy.deepcopy(self.prior), self._threshold(x, gamma)
            if isinstance(prior, optim.WaveletPrior):  # its own default thresholds by a tenth of gamma
                # p = 0: a coefficient c costs gamma if it is kept and c^2 / 2 if not
                return prior.prox(x, ths=1.0, gamma=threshold if prior.p else (2 * threshold).sqrt())
            return prior.prox(x, gamma=per_image(threshold, x))

        return prox

    def with_default_weight(self, problem: Problem) -> DeepinvPrior:
        """Return the prior, with the default weight of `wavelet` if it is a `WaveletPrior` without a weight."""
        if self.weight is None and isinstance(self.prior, optim.WaveletPrior) and self.prior.p == 1:
            return DeepinvPrior(prior=self.prior, weight=Wavelet().with_default_weight(problem).weight)
        return self
