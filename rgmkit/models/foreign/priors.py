"""Make priors of recognised networks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast, final

from torch import Tensor, nn

from rgmkit.config import Spec, build
from rgmkit.core.inverse_network import InverseNetwork
from rgmkit.core.linear import per_image
from rgmkit.core.network_prior import NetworkPrior
from rgmkit.core.prior import Prior
from rgmkit.core.process import ForwardProcess
from rgmkit.errors import CheckpointError, ConfigError
from rgmkit.models.foreign.architectures import Recognised, recognise
from rgmkit.models.foreign.probe import DenoiserNoise, find_noise
from rgmkit.runtime.device import autocast_bf16
from rgmkit.runtime.precision import Precision, prepare_network

LEAST_STD, MOST_STD = 0.005, 1.28  # of the levels, on images in [0, 1]
SIDE = 64  # of generated images


def load_file(path: Path, *, precision: Precision, compile: bool, std: float | None = None) -> Prior:
    """Load a published network from a file of weights: a denoiser as a `NetworkPrior`, others as an `InverseNetwork`.

    Raises:
        CheckpointError: if the file cannot be read, or no network with these weights is known.
        ConfigError: if an option does not fit the network.
    """
    if std is not None and not 0 < std <= MOST_STD / 2:
        raise ConfigError(f"std is {std}: give the noise std that the denoiser was trained for, on images in [0, 1]")
    found = recognise(path)
    if precision == "bf16" and not found.half:
        raise ConfigError(f"{path} is a {found.family}, which is not for half precision: leave out dtype")
    told = found.most_noise is not None
    if std is not None and (told or found.direct):
        why = "is told the noise" if told else "restores directly"
        raise ConfigError(f"std is {std}, and {path} {why}: leave it out")
    prior: Prior
    if told:
        prior = _make_denoiser(found, LEAST_STD, cast(float, found.most_noise), precision, compile)
    else:
        noise = None if found.direct else _find_noise(found, path, std)
        if noise is None:
            prior = _make_inverse(found, path, precision, compile)
        else:
            prior = _make_denoiser(found, LEAST_STD if noise.blind else noise.std, noise.std, precision, compile)
            prior.notes = () if std else (_describe(noise, path, found.family),)
    return prior.eval().requires_grad_(False)


def describe_file(path: Path) -> dict[str, Any]:
    """Describe the network in a file of weights: its family, what it does, and the images and the noise it is for.

    Raises:
        CheckpointError: as for `load_file`.
    """
    found = recognise(path)
    parameters = sum(weight.numel() for weight in found.network.parameters())
    facts = {"file": str(path), "network": found.family, "parameters": parameters, "channels": found.channels}
    if found.most_noise is not None:
        return facts | {"use": "denoiser that is told the noise", "largest std": found.most_noise}
    noise = None if found.direct else _find_noise(found, path, None)
    if noise is None:
        return facts | {"use": "restores directly", "factor": found.factor}
    if noise.blind:
        return facts | {"use": "blind denoiser", "largest std": noise.std}
    return facts | {"use": "denoiser for one noise", "std": noise.std}


def _make_inverse(found: Recognised, path: Path, precision: Precision, compile: bool) -> InverseNetwork:
    if compile:
        raise ConfigError(f"{path} is a {found.family}, which restores directly and is not compiled: leave out compile")
    network = InHalfPrecision(found.network) if precision == "bf16" else found.network
    prior = InverseNetwork(network=network, factor=found.factor, channels=found.channels, title=path.name)
    what = "restores as it was trained to, whatever the operator and the noise"
    prior.notes = (f"{path.name} is a {found.family}: it {what}",)
    return prior


@final
class InHalfPrecision(nn.Module):
    """A network whose convolutions and products are computed in bfloat16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, y: Tensor) -> Tensor:
        """Restore images from measurements `y`."""
        with autocast_bf16(y.device, True):
            x: Tensor = self.network(y)
        return x.to(y.dtype)


def _find_noise(found: Recognised, path: Path, std: float | None) -> DenoiserNoise | None:
    if std is not None:
        return DenoiserNoise(std, blind=False)
    try:
        return find_noise(found.network, found.channels, path.stem)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is a {found.family} that cannot be evaluated: {error}") from error


def _describe(noise: DenoiserNoise, path: Path, family: str) -> str:
    what = f"{path.name} is a {family} that denoises at"
    std = f"std {noise.std:.3g} ({255 * noise.std:.3g} of 255)"
    if noise.blind:
        return f"{what} any noise up to {std}, by a trial; stronger noise is scaled down to it"
    return (
        f"{what} {std} alone: stronger noise is scaled down to it, and of weaker noise a part is removed; "
        f"to set the std, give std="
    )


def _make_denoiser(found: Recognised, first: float, most: float, precision: Precision, compile: bool) -> NetworkPrior:
    """Make a prior of a denoiser, with the noise stds of its levels from `first` to `MOST_STD`, a factor of 2 apart."""
    levels = 2 + math.ceil(math.log2(MOST_STD / first))
    options = {"levels": levels, "schedule": "geometric", "r_first": 2 * first, "r_last": 2 * MOST_STD}
    process: ForwardProcess = build("process", Spec("gaussian", options))
    network = Denoiser(found.network, process, channels=found.channels, most=most)
    return NetworkPrior(
        process=process, network=prepare_network(network, precision=precision, compile=compile),
        image_shape=(found.channels, SIDE, SIDE), generative=False,
    )  # fmt: skip


@final
class Denoiser(nn.Module):
    """A denoiser `D(x, std)` on images in [0, 1], as the network of a process that adds noise.

    Noise of more than `most`, its training's, is scaled down to it, `1/2 + (D(1/2 + k (x - 1/2), most) - 1/2) / k` with
    `k = most / std`, which costs .1 to .2 dB for k = 1/3. The reverse, for weaker noise, loses much more (DnCNN-25 at
    noise 5 of 255: 5 dB below the noisy picture): such noise is below level 1, see `RestoringPrior.denoise`.

    Source of the scaling: Xu et al., "Boosting the performance of plug-and-play priors via denoiser scaling", 2020.
    """

    continuous = True
    latent = 0

    def __init__(self, denoise: nn.Module, process: ForwardProcess, *, channels: int, most: float) -> None:
        super().__init__()
        self.denoise, self.process, self.channels, self.most = denoise, process, (channels,), most
        self.locality = getattr(denoise, "locality", None)

    def forward(self, y: Tensor, target: Tensor, z: Tensor) -> Tensor:
        """Restore images `y` of level `target + 1`, in [-1, 1]."""
        gain, sigma = self.process.a(target + 1), self.process.sigma(target + 1)
        std = sigma / (2 * gain)
        told = std.clamp(max=self.most)
        shrink = per_image(told / std, y)
        x = 0.5 + shrink * y / per_image(2 * gain, y)
        return (2 * self.denoise(x, told) - 1) / shrink
