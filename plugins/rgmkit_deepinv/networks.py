"""Denoising networks of deepinv by name, as plug-and-play priors with the user's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias, final

import torch
from deepinv import models
from deepinv.models.base import Denoiser
from deepinv.utils import DownloadError
from torch import Tensor
from torch.nn.functional import pad

from rgmkit.core.random import Randomness
from rgmkit.errors import CheckpointError, ConfigError, IncompatibleError
from rgmkit_deepinv.plug_and_play import PlugAndPlay
from rgmkit_deepinv.weights import load_weights

Weights: TypeAlias = Literal["download"] | Path


class DenoisingNetwork(PlugAndPlay):
    """Plug and play with a network of deepinv, whose weights are in a file or downloaded by deepinv.

    Weights are required: a network with random weights is no denoiser.

    Args:
        weights: a file (.safetensors, .pth, .pt, .ckpt), of which only tensors are read, or "download" for
            deepinv's own weights. Otherwise nothing is downloaded.
        channels: of the images that it was trained on, 1 or 3.

    Raises:
        CheckpointError: if the file cannot be read, holds another network's weights, or the download fails.
    """

    name: ClassVar[str]

    def __init__(self, network: Callable[[str | None], Denoiser], weights: Weights, channels: int) -> None:
        if channels not in (1, 3):
            raise ConfigError(f"channels is {channels}: give 1 for grey images or 3 for colour")
        with torch.random.fork_rng(devices=[]):  # its initial weights are random
            made = self._download(network) if weights == "download" else network(None)
        if isinstance(weights, Path):
            load_weights(made, weights, self.name, f"give the weights of a {self.name} of these options, channels …")
        super().__init__(made.eval())
        self.channels = channels

    def _download(self, network: Callable[[str | None], Denoiser]) -> Denoiser:
        try:
            return network("download")
        except DownloadError as error:
            raise CheckpointError(
                f"the weights of {self.name} cannot be downloaded: {error}: check the connection, or give weights=FILE"
            ) from error
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"deepinv has no weights of a {self.name} of these options: give weights=FILE, or leave the options out"
            ) from error

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """Return `denoiser(x, sqrt(gamma))`.

        Raises:
            IncompatibleError: if the image has another number of channels than the network.
        """
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise IncompatibleError(
                f"{self.name} has weights for {self.channels} channels and the image has the shape {tuple(x.shape)}: "
                f"give channels= and weights= for such images"
            )
        return super().prox(x, gamma, generator=generator)


@final
class DRUNet(DenoisingNetwork):
    """Plug and play with DRUNet, a U-Net that takes the noise level: the prior of DPIR.

    Source: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", 2021.

    Args:
        weights: a file (.safetensors, .pth, .pt, .ckpt), or "download"; see `DenoisingNetwork`.
        channels: of the images that it was trained on, 1 or 3.
        widths: channels of its four scales.
        blocks: residual blocks of each scale.
    """

    name = "deepinv.DRUNet"

    def __init__(
        self,
        *,
        weights: Weights,
        channels: int = 3,
        widths: tuple[int, int, int, int] = (64, 128, 256, 512),
        blocks: int = 4,
    ) -> None:
        options = {"in_channels": channels, "out_channels": channels, "nc": widths, "nb": blocks}
        super().__init__(lambda pretrained: models.DRUNet(pretrained=pretrained, **options), weights, channels)


@final
class GSDRUNet(DenoisingNetwork):
    """Plug and play with the gradient-step DRUNet: `x` minus the gradient of a potential.

    Source: Hurault, Leclaire and Papadakis, "Gradient step denoiser", 2022.

    Args:
        weights: a file (.safetensors, .pth, .pt, .ckpt), or "download"; see `DenoisingNetwork`.
        channels: of the images that it was trained on, 1 or 3.
        widths: channels of its four scales.
        blocks: residual blocks of each scale.
    """

    name = "deepinv.GSDRUNet"

    def __init__(
        self,
        *,
        weights: Weights,
        channels: int = 3,
        widths: tuple[int, int, int, int] = (64, 128, 256, 512),
        blocks: int = 2,
    ) -> None:
        options = {"in_channels": channels, "out_channels": channels, "nc": widths, "nb": blocks}
        super().__init__(lambda pretrained: models.GSDRUNet(pretrained=pretrained, **options), weights, channels)


@final
class DnCNN(DenoisingNetwork):
    """Plug and play with DnCNN, which denoises at its training noise level, whatever the step of the solver.

    deepinv's weights are for noise of std 2/255, and so for many small steps.
    Source: Zhang et al., "Beyond a Gaussian denoiser", 2017.

    Args:
        weights: a file (.safetensors, .pth, .pt, .ckpt), or "download"; see `DenoisingNetwork`.
        channels: of the images that it was trained on, 1 or 3.
        depth: number of convolutions.
        width: channels between them.
    """

    name = "deepinv.DnCNN"

    def __init__(self, *, weights: Weights, channels: int = 3, depth: int = 20, width: int = 64) -> None:
        options = {"in_channels": channels, "out_channels": channels, "depth": depth, "nf": width}
        super().__init__(lambda pretrained: models.DnCNN(pretrained=pretrained, **options), weights, channels)


@final
class FFDNet(DenoisingNetwork):
    """Plug and play with FFDNet, a light network that takes the noise level.

    Source: Zhang, Zuo and Zhang, "FFDNet", 2018.

    Args:
        weights: a file (.safetensors, .pth, .pt, .ckpt), or "download"; see `DenoisingNetwork`.
        channels: of the images that it was trained on, 1 or 3.
        depth: number of convolutions. Default: 15 for grey, 12 for colour.
        width: channels between them. Default: 64 for grey, 96 for colour.
    """

    name = "deepinv.FFDNet"

    def __init__(
        self, *, weights: Weights, channels: int = 3, depth: int | None = None, width: int | None = None
    ) -> None:
        depth, width = depth or (15 if channels == 1 else 12), width or (64 if channels == 1 else 96)
        options = {"img_channels": channels, "n_conv_layers": depth, "nf": width, "orthogonal_init": False}
        super().__init__(lambda pretrained: models.FFDNet(pretrained=pretrained, **options), weights, channels)

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """Return `denoiser(x, sqrt(gamma))`; odd sides are extended by a pixel, as the network needs even ones."""
        height, width = x.shape[-2:]
        even = pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        return super().prox(even, gamma, generator=generator)[..., :height, :width]
