"""A discriminator of the features of a fixed network, and of the pixels."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu
from torch.nn.utils.parametrizations import spectral_norm

from rgmkit.core.bounds import Count, CountOrZero
from rgmkit.core.process import ForwardProcess
from rgmkit.models.features import load_features
from rgmkit_gan.networks.parts import conv, first_axis
from rgmkit_gan.networks.unet import UNetDiscriminator


@final
class ProjectedDiscriminator(nn.Module):
    """A discriminator `D(x, t)`, (B,), of the features of a fixed network and of the pixels.

    The maps of the fixed network are mixed by fixed random convolutions, from coarse to fine, and each scale has a
    small discriminator of its own, which knows the level. To their sum a `unet-discriminator` is added: the features of
    a small classifier do not determine the colours, and by these alone CIFAR-10 became grey. What the network is
    trained with should not also measure its quality: evaluate by other features.

    Source: Sauer, Chitta, Müller and Geiger, "Projected GANs converge faster", 2021; Kumari, Zhang, Shechtman and Zhu,
    "Ensembling off-the-shelf models for GAN training", 2022.

    Args:
        process: the forward process, whose number of levels is used.
        image_shape: of one image, (C, H, W); only C matters.
        features: a feature network that gives maps: "cifar10", "digits", or a model folder.
        width: channels of the discriminator of each map.
        pixels: channels of the discriminator of the pixels at its finest scale; 0 for none.
        skip: number of the finest maps to leave out; they cost most of the time.
    """

    def __init__(
        self,
        *,
        process: ForwardProcess,
        image_shape: tuple[int, ...],
        features: str = "cifar10",
        width: Count = 64,
        pixels: CountOrZero = 48,
        skip: CountOrZero = 1,
    ) -> None:
        super().__init__()
        self.skip = skip
        channels = first_axis(image_shape, axes=3, network="projected-discriminator")
        self.fixed = load_features(features).requires_grad_(False)
        with torch.no_grad():
            maps = self.fixed.maps(torch.zeros(1, channels, 32, 32))[skip:]
        self.project = nn.ModuleList(conv(each.shape[1], width, 1) for each in maps).requires_grad_(False)
        self.mix = nn.ModuleList(conv(width, width) for _ in maps[1:]).requires_grad_(False)
        self.heads = nn.ModuleList(_Head(process.levels, width) for _ in maps)
        self.pixels = UNetDiscriminator(process=process, image_shape=image_shape, width=pixels) if pixels else None

    def train(self, mode: bool = True) -> ProjectedDiscriminator:
        """Set the mode of all parts but the fixed network."""
        super().train(mode)
        self.fixed.eval()
        return self

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return one number for each image, higher for images that look real."""
        size = x.flatten(1).square().mean(1).sqrt().clamp(min=1)  # noisy images come close to the usual range
        maps = self.fixed.maps((x / size.view(-1, 1, 1, 1) + 1) / 2)[self.skip :]
        projected = [project(each) for project, each in zip(self.project, maps, strict=True)]
        mixed = projected[-1:]
        for finer, mix in zip(reversed(projected[:-1]), self.mix, strict=True):
            mixed.append(mix(finer + interpolate(mixed[-1], size=finer.shape[-2:])))
        scores = [head(each, t) for head, each in zip(self.heads, mixed, strict=True)]
        return torch.stack(scores).sum(0).float() + (0 if self.pixels is None else self.pixels(x, t))


class _Head(nn.Module):
    """The discriminator of one scale: the mean score of its positions, after two halvings of the resolution."""

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.level = nn.Embedding(levels, width)
        self.layers = nn.ModuleList(spectral_norm(conv(width, n, stride=2)) for n in (width, 2 * width))
        self.last = spectral_norm(conv(2 * width, 1, 1))

    def forward(self, h: Tensor, t: Tensor) -> Tensor:
        first, second = self.layers
        h = leaky_relu(first(h) + self.level(t)[:, :, None, None], 0.2)
        score: Tensor = self.last(leaky_relu(second(h), 0.2)).mean((1, 2, 3))
        return score
