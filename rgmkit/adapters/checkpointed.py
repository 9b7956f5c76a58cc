"""Differentiate through many evaluations of a network with the memory of one."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rgmkit.core.prior import RestoringPrior


@final
class Checkpointed(RestoringPrior):
    """The same prior, whose network is evaluated again for the gradient, in place of keeping all its features.

    Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.
    """

    def __init__(self, prior: RestoringPrior) -> None:
        super().__init__(prior.process, image_shape=prior.image_shape, center=prior.center, scale=prior.scale)
        self.prior, self.latent, self.locality = prior, prior.latent, prior.locality
        self.differentiable = prior.differentiable
        self.continuous, self.generative, self.channels = prior.continuous, prior.generative, prior.channels

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        x: Tensor = checkpoint(self.prior._restore, y, level, z, use_reentrant=False, preserve_rng_state=False)
        return x
