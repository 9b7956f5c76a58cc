"""The prior that is a trained network."""

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
        network: a module called as `network(y, target_level, z)` in the range of the process; the target of level s is
            s - 1. Four attributes are optional: `latent`, the number of values of z (default 0); `locality`, a
            `Locality`, by which large images can be restored in tiles; `continuous`, whether the target level may be a
            float between two levels; `channels`, the numbers of channels of the images that it takes, by default those
            of `image_shape`.
        image_shape: of one training image, (C, H, W), or (d,) for points.
        center, scale: of the range of the process in the units of the user.
        generative: see `Objective.generative`.
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
        self.channels = tuple(getattr(network, "channels", ())) or self.channels
        self.latent = int(getattr(network, "latent", 0))
        self.locality = getattr(network, "locality", None)
        self.continuous = process.continuous and bool(getattr(network, "continuous", False))

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        return self.network(y, level - 1, z)
