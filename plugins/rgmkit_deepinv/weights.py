"""Weights of deepinv's networks from a file."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rgmkit.errors import CheckpointError
from rgmkit.models import find_mismatches

WRAPPERS = ("state_dict", "params_ema", "params", "model")  # under which training scripts keep the weights


def load_weights(network: nn.Module, path: Path, name: str, fix: str) -> None:
    """Load weights from a file (.safetensors, or .pth, .pt, .ckpt, .pth.tar) into `network`; no code in it is run.

    Args:
        network: the network.
        path: of the file.
        name: of the network, for messages.
        fix: what the user should do if the weights do not fit, for messages.

    Raises:
        CheckpointError: if it cannot be read, or holds the weights of another network.
    """
    found = _find_state(_read(path, name))
    expected = network.state_dict()
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        what = f"lacks {missing[0]}" if missing else f"has {extra[0]}, which is not in the network"
        raise CheckpointError(
            f"{path} is not of {name}: it {what} ({len(missing)} weights missing, {len(extra)} unexpected): {fix}"
        )
    for key, value in expected.items():
        if found[key].shape != value.shape:
            shapes = f"{tuple(found[key].shape)}, not {tuple(value.shape)}"
            raise CheckpointError(f"{path} is not of {name} with these options: {key} has the shape {shapes}: {fix}")
    broken = find_mismatches(found, expected)
    if broken:
        raise CheckpointError(f"{path} is not of {name}: {broken[0]}: {fix}")
    network.load_state_dict(found)


def _read(path: Path, name: str) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"the weights {path} of {name} cannot be read: {error.strerror or error}") from error
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"the weights {path} of {name} cannot be read: {str(error).splitlines()[0]}: give a file of tensors alone, "
            f".safetensors or a file of torch.save(network.state_dict(), …)"
        ) from error


def _find_state(content: Any) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}
