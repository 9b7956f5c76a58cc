"""Denoising networks of deepinv by name, as plug-and-play priors with the user's weights."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

import torch
from torch import Tensor
from torch.nn.functional import pad

from rgmkit.core.random import Randomness
from rgmkit.errors import CheckpointError, ConfigError, IncompatibleError
from rgmkit_deepinv.plug_and_play import PlugAndPlay
from rgmkit_deepinv.weights import load_weights

if TYPE_CHECKING:
    from deepinv.models.base import Denoiser

Weights: TypeAlias = Literal["download"] | Path
TENSORS_ALONE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
Widths: TypeAlias = tuple[int, int, int, int]


@contextmanager
def _weights_alone() -> Iterator[None]:
    """Let `torch.load` read tensors alone, whatever its caller asks for: deepinv asks `torch.hub` for any pickle."""
    before = os.environ.get(TENSORS_ALONE)
    os.environ[TENSORS_ALONE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[TENSORS_ALONE]
        else:
            os.environ[TENSORS_ALONE] = before


class DenoisingNetwork(PlugAndPlay):
    """Plug and play with a network of deepinv, whose weights are in a file or downloaded by deepinv.

    Weights are required: a network with random weights is not a denoiser.

    Args:
        weights: a file (.safetensors, .pth, .pt, .ckpt), of which only tensors are read, or "download" for
            deepinv's own weights; only then is anything downloaded.
        channels: of the images that it was trained on, 1 or 3.

    Raises:
        CheckpointError: if the file cannot be read, holds another network's weights, or the download fails.
    """

    def __init__(self, weights: Weights, channels: int, **options: Any) -> None:
        if channels not in (1, 3):
            raise ConfigError(f"channels is {channels}: give 1 for grey images or 3 for colour")
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn from the global generator
            network = self._download(options) if weights == "download" else self._build(None, options)
        if isinstance(weights, Path):
            load_weights(network, weights, self.name, f"give weights of {self.name} with these options")
        super().__init__(network.eval())
        self.channels = channels

    @property
    def name(self) -> str:
        """The name of the prior, which is that of deepinv's class."""
        return f"deepinv.{type(self).__name__}"

    def _build(self, pretrained: str | None, options: dict[str, Any]) -> Denoiser:
        from deepinv import models

        network: Denoiser = getattr(models, type(self).__name__)(pretrained=pretrained, **options)
        return network

    def _download(self, options: dict[str, Any]) -> Denoiser:
        from deepinv.utils import DownloadError

        try:
            with _weights_alone():
                return self._build("download", options)
        except pickle.UnpicklingError as error:
            raise CheckpointError(
                f"the downloaded weights of {self.name} are refused, they hold more than tensors: give weights=FILE"
            ) from error
        except DownloadError as error:
            raise CheckpointError(
                f"the weights of {self.name} cannot be downloaded: {error}: check the connection, or give weights=FILE"
            ) from error
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"deepinv has no weights of {self.name} with these options: give weights=FILE, or leave the options out"
            ) from error

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """Return `denoiser(x, sqrt(gamma))`.

        Raises:
            IncompatibleError: if the numbers of channels of image and network differ.
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

    def __init__(
        self, *, weights: Weights, channels: int = 3, widths: Widths = (64, 128, 256, 512), blocks: int = 4
    ) -> None:
        super().__init__(weights, channels, in_channels=channels, out_channels=channels, nc=widths, nb=blocks)


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

    def __init__(
        self, *, weights: Weights, channels: int = 3, widths: Widths = (64, 128, 256, 512), blocks: int = 2
    ) -> None:
        super().__init__(weights, channels, in_channels=channels, out_channels=channels, nc=widths, nb=blocks)


@final
class DnCNN(DenoisingNetwork):
    """Plug and play with DnCNN, which denoises at its training noise level and ignores the step of the solver.

    deepinv's weights are for noise of std 2/255, which calls for many small steps.
    Source: Zhang et al., "Beyond a Gaussian denoiser", 2017.

    Args:
        weights: a file (.safetensors, .pth, .pt, .ckpt), or "download"; see `DenoisingNetwork`.
        channels: of the images that it was trained on, 1 or 3.
        depth: number of convolutions.
        width: channels between them.
    """

    def __init__(self, *, weights: Weights, channels: int = 3, depth: int = 20, width: int = 64) -> None:
        super().__init__(weights, channels, in_channels=channels, out_channels=channels, depth=depth, nf=width)


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

    def __init__(
        self, *, weights: Weights, channels: int = 3, depth: int | None = None, width: int | None = None
    ) -> None:
        depth, width = depth or (15 if channels == 1 else 12), width or (64 if channels == 1 else 96)
        super().__init__(weights, channels, img_channels=channels, n_conv_layers=depth, nf=width, orthogonal_init=False)

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """Return `denoiser(x, sqrt(gamma))`; odd sides are extended by a pixel, as the network needs even ones."""
        height, width = x.shape[-2:]
        even = pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        return super().prox(even, gamma, generator=generator)[..., :height, :width]
