"""Features that images are compared by, and comparisons of two sets of images by their features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from rgmkit.core.printable import Printable
from rgmkit.errors import IncompatibleError


class Features(Printable, nn.Module, ABC):
    """Map each image of a batch, (B, C, H, W) in [0, 1], to a vector of features, (B, d).

    Attributes:
        channels: the numbers of channels that `forward` takes.
        metric_names: names that metrics have with these features alone, such as FID for the Fréchet distance with
            those of Inception.
    """

    channels: tuple[int, ...] = (1, 3)
    metric_names: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the features of images with one of the numbers of `channels`."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return features that keep positions, (B, c, h, w), from fine to coarse; differentiable.

        Raises:
            IncompatibleError: if this network gives none; that is the default.
        """
        raise IncompatibleError(f"{type(self).__name__} gives no maps: choose other features, such as cifar10")

    def of(self, images: Tensor) -> Tensor:
        """Return the features of images; grey ones are given to a network of colour images as three equal channels.

        Raises:
            IncompatibleError: if the images have another number of channels.
        """
        features: Tensor = self(self.fit_channels(images))
        return features

    def fit_channels(self, images: Tensor) -> Tensor:
        """Return images with as many channels as the network takes: grey ones become three equal channels.

        Raises:
            IncompatibleError: if the images have another number of channels.
        """
        count = images.shape[1]
        if count == 1 and 1 not in self.channels:
            images = images.expand(-1, 3, -1, -1)
        elif count not in self.channels:
            raise IncompatibleError(
                f"these features are of images with {' or '.join(map(str, self.channels))} channels, not {count}: "
                f"choose others"
            )
        return images


class Comparison(Printable, ABC):
    """Compare generated images with real ones by their features.

    Attributes:
        names: of the metrics that it computes, in their order.
    """

    names: ClassVar[tuple[str, ...]]

    @abstractmethod
    def __call__(self, generated: Tensor, real: Tensor) -> tuple[float, ...]:
        """Return the metrics of `names`, given features (n, d) of generated and (m, d) of real images."""
