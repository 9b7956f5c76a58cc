"""A small convolutional classifier whose last layer but one serves as features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from rgmkit.core.features import Features
from rgmkit.errors import ConfigError

CENTER, SCALE = 0.5, 0.25  # of pixel values: about mean and std of photographs
FIRST, STAGE = 3, 7  # layers of the first convolution, and of each stage


@final
class Classifier(Features):
    """Convolutions in stages that halve the resolution; the features are the means of the last channels over pixels.

    Two 3x3 convolutions a stage, each with batch normalisation and GELU; the first is followed by a maximum over
    2x2 pixels. The network takes images of any size that the stages can halve.

    Args:
        classes: number of classes that it is trained to tell apart.
        channels: of the images, 1 or 3.
        widths: channels of each stage.

    >>> import torch
    >>> Classifier(classes=10, channels=1, widths=(8, 16)).eval()(torch.rand(2, 1, 16, 16)).shape
    torch.Size([2, 16])
    """

    def __init__(self, *, classes: int, channels: int = 3, widths: Sequence[int] = (48, 96, 192)) -> None:
        super().__init__()
        if channels not in (1, 3) or classes < 2 or not widths or min(widths) < 2:
            raise ConfigError(
                f"channels is {channels}, classes {classes}, widths {list(widths)}: give 1 or 3 channels, 2 or more "
                f"classes, and widths of 2 or more"
            )
        self.channels = (channels,)
        first = widths[0] // 2
        layers = [nn.Conv2d(channels, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.GELU()]
        for before, width in zip([first, *widths], widths, strict=False):
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.MaxPool2d(2)]
            layers += [nn.BatchNorm2d(width), nn.GELU()]
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.GELU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, (B, widths[-1])."""
        return self.body((x - CENTER) / SCALE).mean((2, 3))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the activations of the first convolution and of each stage, from fine to coarse."""
        h, found = (self.fit_channels(images) - CENTER) / SCALE, []
        for index, layer in enumerate(self.body):
            h = layer(h)
            if (index - FIRST + 1) % STAGE == 0:
                found.append(h)
        return found

    def classify(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, (B, classes)."""
        return self.head(self.of(x))
