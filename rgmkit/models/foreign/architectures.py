"""Recognise the network that weights belong to, and build it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rgmkit.errors import CheckpointError
from rgmkit.models.foreign.files import read_state, strip_prefix
from rgmkit.models.foreign.networks import (
    FFDNet,
    WithNoiseMap,
    WithoutNoise,
    find_drunet_locality,
    find_plain_locality,
)
from rgmkit.runtime.extras import require

REFUSED = {"IMDB1.": "IMDN", ".safm.": "a variant of SAFMN"}  # by a part of their names
FAMILIES = "FFDNet, DnCNN, Restormer, and the families of the package spandrel"
CONVERT = "if it is a restoration-based generative model, make a model folder of it with `rgmkit convert`"
PREFIXES = 3  # most to remove
FFDNET_STD, DNCNN_STD, DRUNET_STD = 75 / 255, 75 / 255, 50 / 255  # most noise in the training


@dataclass(frozen=True, eq=False)
class Recognised:
    """A network and what it is for.

    Attributes:
        family: the name of its architecture.
        network: called as `network(x, std)`, or `network(y)` if `direct`.
        channels: of its images.
        factor: of the sides of its answer to those of its input.
        most_noise: the largest std that it can be told; None for a network that is not told the noise.
        direct: whether `network` is called as `network(y)`.
        half: whether it can compute in bfloat16.
    """

    family: str
    network: nn.Module
    channels: int
    factor: int = 1
    most_noise: float | None = None
    direct: bool = False
    half: bool = True


def recognise(path: Path) -> Recognised:
    """Build the network of a weights file.

    Raises:
        CheckpointError: if the file cannot be read, or no network with these weights is known.
    """
    state = read_state(path)
    attempt: dict[str, Tensor] | None = state
    for _ in range(PREFIXES):
        if attempt is None:
            break
        found = _build(path, attempt)
        if found is not None:
            _freeze(found.network)
            return found
        attempt = strip_prefix(attempt)
    family = next((name for key, name in REFUSED.items() if any(key in part for part in state)), None)
    what = family or f"no known network (the first of {len(state)} is {next(iter(state))})"
    raise CheckpointError(f"{path} holds weights of {what}, which rgmkit cannot use: it knows {FAMILIES}; {CONVERT}")


def _build(path: Path, state: Mapping[str, Tensor]) -> Recognised | None:
    layers = _read_convolutions(state)
    published = path.suffix.lower() in (".mat", ".npz")
    if layers and (published or _count_ffdnet_channels(layers)):
        return _build_plain(path, layers, published)
    if "encoder_level1.0.attn.temperature" in state and "refinement.0.attn.temperature" in state:
        return _build_restormer(path, state)
    return _build_with_spandrel(path, state)


def _read_convolutions(state: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return weights and biases, if these are convolutions in a `Sequential` with activations between them."""
    count = len(state) // 2
    names = [(f"model.{2 * i}.weight", f"model.{2 * i}.bias") for i in range(count)]
    if set(state) != {name for pair in names for name in pair}:
        return []
    layers = [(state[weight], state[bias]) for weight, bias in names]
    usual = all(weight.ndim == 4 and weight.shape[2:] == (3, 3) and len(weight) == len(bias) for weight, bias in layers)
    return layers if usual else []


def _count_ffdnet_channels(layers: list[tuple[Tensor, Tensor]]) -> int | None:
    """Return the number of image channels if these are the layers of FFDNet."""
    taken, given = layers[0][0].shape[1], layers[-1][0].shape[0]
    return given // 4 if given in (4, 12) and taken == given + 1 else None


def _build_plain(path: Path, layers: list[tuple[Tensor, Tensor]], published: bool) -> Recognised:
    """Build FFDNet or DnCNN."""
    taken, given = layers[0][0].shape[1], layers[-1][0].shape[0]
    parts: list[nn.Module] = []
    for weight, bias in layers:
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        parts += [layer, nn.ReLU(inplace=True)]
    network = nn.Sequential(*parts[:-1])
    channels = _count_ffdnet_channels(layers)
    if channels:
        return Recognised("FFDNet", FFDNet(network, columns_first=published), channels, most_noise=FFDNET_STD)
    if taken != given or any(one[0].shape[0] != two[0].shape[1] for one, two in itertools.pairwise(layers)):
        raise CheckpointError(f"{path} holds convolutions from {taken} to {given} channels: neither FFDNet nor DnCNN")
    return Recognised("DnCNN", WithoutNoise(_Residual(network), locality=find_plain_locality(network)), given)


class _Residual(nn.Module):
    """A network that estimates the noise."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return x - self.network(x)


def _build_restormer(path: Path, state: Mapping[str, Tensor]) -> Recognised:
    from deepinv.models import Restormer

    def count(part: str) -> int:
        return len({name.split(".")[1] for name in state if name.startswith(f"{part}.")})

    stages = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
    try:
        dim, channels = state["patch_embed.proj.weight"].shape[:2]
        hidden = state["latent.0.ffn.project_in.weight"].shape[0] // 2  # of the widest stage, 8 dim
        with torch.random.fork_rng(devices=[]):
            network = Restormer(
                in_channels=channels, out_channels=state["output.weight"].shape[0], dim=dim,
                num_blocks=[count(stage) for stage in stages], num_refinement_blocks=count("refinement"),
                heads=[len(state[f"{stage}.0.attn.temperature"]) for stage in stages],
                ffn_expansion_factor=(hidden + 0.5) / (8 * dim), bias="encoder_level1.0.attn.qkv.bias" in state,
                LayerNorm_type="WithBias" if "encoder_level1.0.norm1.body.bias" in state else "BiasFree",
                dual_pixel_task="skip_conv.weight" in state, pretrained=None,
            )  # fmt: skip
        network.load_state_dict(dict(state))
    except (KeyError, RuntimeError, IndexError) as error:
        raise CheckpointError(f"{path} looks like Restormer and does not fit it: {_first_line(error)}") from error
    if channels != len(state["output.weight"]):
        raise CheckpointError(f"{path} is a Restormer for dual-pixel images, which rgmkit does not have")
    return Recognised("Restormer", WithoutNoise(network), channels)


def _build_with_spandrel(path: Path, state: Mapping[str, Tensor]) -> Recognised | None:
    require("spandrel", str(path), CheckpointError, otherwise=CONVERT)
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    try:
        with torch.random.fork_rng(devices=[]):
            found = ModelLoader().load_from_state_dict(dict(state))
    except UnsupportedModelError:
        return None
    except Exception as error:  # whatever a constructor raises for weights that it misreads
        raise CheckpointError(f"{path} fits no network of spandrel: {_first_line(error)}") from error
    family = found.architecture.name
    if not isinstance(found, ImageModelDescriptor):
        raise CheckpointError(f"{path} is a {family} for {found.purpose}, which needs a mask, too: not a prior")
    if found.input_channels != found.output_channels:
        raise CheckpointError(f"{path} is a {family} whose output has other channels than its input, or lacks weights")
    return _adapt(found)


def _adapt(found: Any) -> Recognised:
    """Adapt a network of spandrel; what has the size of its input, and no special call, may be a denoiser."""
    family, model, size = found.architecture.name, found.model, found.size_requirements
    known = {"channels": found.input_channels, "half": found.supports_bfloat16}
    if family == "DRUNet":
        blocks = len(model.m_body)
        locality = find_drunet_locality(blocks, model.m_head.out_channels)
        network = WithNoiseMap(model, multiple=size.multiple_of, locality=locality)
        return Recognised(family, network, most_noise=DRUNET_STD, **known)
    if family == "DnCNN" and "FDnCNN" in found.tags:
        network = WithNoiseMap(model, locality=find_plain_locality(model))
        return Recognised("FDnCNN", network, most_noise=DNCNN_STD, **known)
    if found.scale == 1 and found.purpose == "Restoration" and not size.square and family not in ("FBCNN", "IPT"):
        plain = find_plain_locality(model) if family == "DnCNN" else None
        alone = WithoutNoise(model, multiple=size.multiple_of, minimum=size.minimum, locality=plain)
        return Recognised(family, alone, **known)
    return Recognised(family, _Called(found), factor=found.scale, direct=True, **known)


class _Called(nn.Module):
    """A network as spandrel calls it: an image at a time, padded to a size that it takes, clipped to [0, 1]."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.network, self.found = found.model, found

    def forward(self, y: Tensor) -> Tensor:
        return torch.cat([self.found(image[None]).clone() for image in y])


def _freeze(network: nn.Module) -> None:
    network.eval().requires_grad_(False)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}, {lines[-1] if lines else 'no details'}"[:200]
