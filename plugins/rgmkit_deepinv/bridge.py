"""The bridge to deepinv."""

from __future__ import annotations

from typing import Any, final

from deepinv.models.base import Denoiser
from deepinv.physics import LinearPhysics

from rgmkit.core.bridge import Bridge
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit_deepinv.denoiser import RestoringDenoiser
from rgmkit_deepinv.objects import from_deepinv
from rgmkit_deepinv.physics import to_physics


@final
class DeepinvBridge(Bridge):
    """Convert deepinv's operators, priors and denoisers to rgmkit's, and the reverse."""

    def import_object(self, thing: Any) -> Degradation | Prior:
        """Convert a deepinv operator, prior or denoiser; see `from_deepinv`."""
        return from_deepinv(thing)

    def export_degradation(self, degradation: Degradation, image_shape: tuple[int, ...]) -> LinearPhysics:
        """Convert a degradation; see `to_physics`."""
        return to_physics(degradation, image_shape)

    def export_prior(self, prior: RestoringPrior, *, seed: int) -> Denoiser:
        """Convert a network prior; see `RestoringDenoiser`."""
        return RestoringDenoiser(prior, seed=seed)
