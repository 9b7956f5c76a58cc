"""Model folders: `config.yaml`, `model.safetensors` (averaged weights) and `README.md` (the model card).

Loading one reads data only: nothing is unpickled, and of what the folder names only registered components are imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rgmkit.config import YAMLError, dump_yaml
from rgmkit.core.prior import Prior
from rgmkit.errors import CheckpointError, ConfigError, RgmkitError, describe_error, is_out_of_memory
from rgmkit.models.build import Images, build_prior, find_kind
from rgmkit.models.files import save_files
from rgmkit.models.foreign import describe_file, load_file
from rgmkit.models.lookup import CARD, CONFIG, WEIGHTS, is_weights_file, locate, read_config, weights_file
from rgmkit.models.model_card import read_card, write_card
from rgmkit.runtime.device import as_device
from rgmkit.runtime.files import write_file
from rgmkit.runtime.precision import as_precision, prepare_network


def load(
    model: str | Path,
    *,
    device: str | torch.device = "cpu",
    network: nn.Module | None = None,
    dtype: str | torch.dtype = "float32",
    compile: bool = False,
    std: float | None = None,
    weight: float | None = None,
) -> Prior:
    """Load the prior of a model folder, of a model that comes with rgmkit (`digits`), or of a weights file.

    Args:
        model: a folder, the name of a shipped model, or a model on the Hugging Face hub, `hf:user/repo` or
            `hf:user/repo@revision`; any other name with a path separator is a path. A weights file (.pth, .pt, .ckpt,
            .safetensors, .mat, .npz) holds a network of others, see docs/published.md.
        device: of the prior.
        network: for a model that was trained with a module of your own: a module of the same architecture.
        dtype: precision of the network, "float32" or "bf16", or the PyTorch dtype. With "bf16" the network computes in
            bfloat16 where that is safe, up to twice as fast on processors that support it and within 1e-2 of float32;
            images, levels and noise stay in float32.
        compile: compile the network with `torch.compile` when it is first used, and again for images of another size:
            a few per cent faster on a CPU, after minutes of compiling.
        std: of the noise, on images in [0, 1], that the denoiser in a weights file was trained for, if it was for one
            alone. Default: found by a trial.
        weight: of a regulariser. Default: from noise and operator.

    Raises:
        CheckpointError: if a file is missing, truncated, or does not fit the configuration.
        ConfigError: if there is no such `dtype` or device.

    >>> import rgmkit
    >>> rgmkit.load("digits").image_shape
    (1, 16, 16)
    """
    precision, device = as_precision(dtype), as_device(device)
    if is_weights_file(model):
        if network is not None:
            raise ConfigError(f"network is given, and {model} is a weights file, which determines it: leave it out")
        if weight is not None:
            raise ConfigError(f"weight is {weight}, and {model} is not a regulariser: leave it out")
        prior = load_file(Path(model), precision=precision, compile=compile, std=std)
        prior.model = str(model)
        return prior.to(device)
    if std is not None:
        raise ConfigError(f"std is {std}, and {model} is not a weights file: leave it out")
    folder = locate(model)
    config, weights = read_config(folder), read_weights(folder)
    if "features" in config:
        raise CheckpointError(
            f"{folder} holds a feature network, which `rgmkit evaluate --features` takes: not a prior"
        )
    try:
        prior = build_prior(config, network=network, folder=folder)
    except RgmkitError as error:
        raise CheckpointError(f"{folder / CONFIG}: {error}") from error
    assert isinstance(prior.network, nn.Module)
    if weight is not None:
        if not hasattr(prior, "weight"):
            raise ConfigError(f"weight is {weight}, and {model} is not a regulariser: leave it out")
        setattr(prior, "weight", weight)  # noqa: B010
    differing = find_mismatches(weights, prior.network.state_dict())
    if differing:
        raise CheckpointError(
            f"{folder / WEIGHTS} does not hold the weights of the network in {folder / CONFIG}: "
            f"{len(differing)} differ, the first is {differing[0]}; copy both files of one model"
        )
    prior.network.load_state_dict(weights)
    prior.network = prepare_network(prior.network, precision=precision, compile=compile)
    prior.model = str(model)
    return prior.to(device).eval().requires_grad_(False)


def read_weights(model: str | Path) -> dict[str, Tensor]:
    """Read the weights in a model folder, or of a shipped model, without building the network.

    Raises:
        CheckpointError: if there is no such model, or its weights are missing, truncated or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = weights_file(locate(model))
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is cut or damaged ({error}): copy it again") from error


def save(
    folder: Path,
    prior: Prior,
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    about: str | None = None,
    files: Mapping[str, tuple[str, bytes]] = MappingProxyType({}),
) -> None:
    """Write a model folder; each of its files is written atomically.

    Args:
        prior: its `network` holds the weights to save.
        config: the training configuration; objects in it are written as the names of their classes.
        facts: for the model card: data, steps, seed, seconds, metrics.
        about: the first sentence of the model card. Default: by the objective.
        files: that the configuration names, see `NamedFiles`; they are copied into the folder.
    """
    network = prior.network
    assert isinstance(network, nn.Module)
    images = asdict(Images(*(getattr(prior, name) for name in ("image_shape", "center", "scale"))))
    content = {**config, "images": images}
    content = {key: serialize_config(value) for key, value in content.items() if key != "plugins"}
    content = save_files(folder, content, files)
    write_file(folder / WEIGHTS, weights_to_bytes(network))  # with the user's usual permissions, unlike `save_file`
    write_file(folder / CONFIG, dump_yaml(content))
    card = write_card(folder.resolve().name, facts, about=about, kind=find_kind(config))
    write_file(folder / CARD, card)


def weights_to_bytes(network: nn.Module) -> bytes:
    """Serialise the weights of a network; those that share memory are stored each."""
    from safetensors.torch import save as to_bytes

    form = torch.contiguous_format
    return to_bytes(
        {name: value.detach().cpu().clone(memory_format=form) for name, value in network.state_dict().items()}
    )


def check_savable(network: nn.Module, config: Mapping[str, Any]) -> None:
    """Save the weights and the configuration in memory and load the weights again, which leaves them as they are.

    Raises:
        ConfigError: if that fails: better before the training than after it.
    """
    from safetensors.torch import load as from_bytes

    try:
        network.load_state_dict(from_bytes(weights_to_bytes(network)))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ConfigError(
            f"network: its weights could not be saved and loaded again ({describe_error(error)}): clone() tensors that "
            f"are expanded, and keep no extra state"
        ) from error
    try:
        dump_yaml(serialize_config(config))
    except YAMLError as error:
        raise ConfigError(
            f"the configuration could not be saved ({describe_error(error)}): give plain values"
        ) from error


def describe(model: str | Path) -> dict[str, Any]:
    """Describe a model: its folder, number of parameters, configuration, and the facts of its model card; or a file.

    Raises:
        CheckpointError: if there is no such model, or a file of it is missing or damaged.
    """
    if is_weights_file(model):
        return describe_file(Path(model))
    folder = locate(model)
    config, weights = read_config(folder), read_weights(folder)
    try:
        card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else ""
        facts = read_card(card)
    except (UnicodeDecodeError, YAMLError) as error:
        raise CheckpointError(f"{folder / CARD} is damaged: copy it again, or remove it") from error
    parameters = sum(weight.numel() for weight in weights.values())
    return {"folder": str(folder), "parameters": parameters, "facts": facts, "config": config}


def find_mismatches(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """List the weights whose name, shape or kind of number differs between two networks, or which are not finite."""

    def describe(tensor: Tensor | None) -> str:
        if tensor is None:
            return "missing"
        kind = "" if tensor.is_floating_point() else f"{tensor.dtype} ".removeprefix("torch.")
        broken = "" if tensor.isfinite().all() else " with NaN or infinite values"
        return f"{kind}{tuple(tensor.shape)}{broken}"

    words = {name: (describe(given.get(name)), describe(expected.get(name))) for name in (*expected, *given)}
    return [f"{name}, {got} in place of {wanted}" for name, (got, wanted) in words.items() if got != wanted]


def serialize_config(value: Any) -> Any:
    """Convert a configuration to plain values; objects become `python.` and the name of their class."""
    if isinstance(value, Mapping):
        return {str(key): serialize_config(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [serialize_config(inner) for inner in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value) if isinstance(value, Path) else f"python.{type(value).__qualname__}"
