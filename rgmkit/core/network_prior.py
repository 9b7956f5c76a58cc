"""The prior that a trained network gives."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from rgmkit.core.prior import RestoringPrior
from rgmkit.core.process import ForwardProcess


@final
class NetworkPrior(RestoringPrior):
    """`x_hat = G(y, t, z)` by a network, whatever objective it was trained with.

    Args:
        process: the forward process whose levels the network restores from.
        network: any module called as `network(y, target_level, z)` in the range of the process; the
            target of level s is s - 1. Its attribute `latent` is the number of values of z, else 0;
            its `locality`, a `Locality`, says that large images may be restored in tiles; `continuous = True`
            that the target level may be a float, between two levels.
        image_shape: of one training image, (C, H, W), or (d,) for points.
        center, scale: of the range of the process in the units of the user.
        generative: what the objective of its training says, see `Objective.generative`.
    """

    def __init__(
        self,
        *,
        process: ForwardProcess,
        network: nn.Module,
        image_shape: tuple[int, ...] | None = None,
        center: float = 0.5,
        scale: float = 0.5,
        generative: bool = True,
    ) -> None:
        super().__init__(process, image_shape=image_shape, center=center, scale=scale)
        self.network = network
        self.generative = generative
        self.latent = int(getattr(network, "latent", 0))
        self.locality = getattr(network, "locality", None)
        self.continuous = process.continuous and bool(getattr(network, "continuous", False))

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        return self.network(y, level - 1, z)
