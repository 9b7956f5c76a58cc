"""Weights in PyTorch and safetensors files of others. Nothing in a file is executed."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rgmkit.errors import CheckpointError

BARE = ""  # the entry of a file that is a state dict itself


@dataclass(frozen=True, eq=False)
class Stored:
    """One network's weights in a file, under their names without the prefixes of wrappers.

    Attributes:
        weights: by name.
        averaged: their moving averages, where the state of an optimiser beside them holds these.
        options: of the training, where an `argparse.Namespace` beside them holds these.
    """

    weights: dict[str, Tensor]
    averaged: dict[str, Tensor] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: Path) -> dict[str, Stored]:
    """The state dicts in a file, by entry; a file that is a state dict itself has the one entry `BARE`.

    Raises:
        CheckpointError: for a file that is missing, cut, something else, or holds objects other than weights and
            plain values.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "netG.pth"
    >>> torch.save({"netG_dict": {"module.conv.bias": torch.zeros(2)}, "epoch": 3}, file)
    >>> read_checkpoint(file)["netG_dict"].weights
    {'conv.bias': tensor([0., 0.])}
    """
    content = _load(path)
    if _is_state(content):
        return {BARE: Stored(_bare_names(content))}
    found = (
        {str(key): value for key, value in content.items() if _is_state(value)} if isinstance(content, Mapping) else {}
    )
    if not found:
        raise CheckpointError(f"{path} holds no state dict: give a file of torch.save(network.state_dict(), FILE)")
    options = next((vars(value) for value in content.values() if isinstance(value, argparse.Namespace)), {})
    return {entry: Stored(_bare_names(state), _averages(content, state), options) for entry, state in found.items()}


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _load(path: Path) -> Any:
    from safetensors.torch import load_file

    if not path.is_file():
        problem = "is a folder: give a checkpoint file in it" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {problem}")
    with path.open("rb") as file, _namespaces(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old formats; what is wrong is said below
        try:
            if path.suffix == ".safetensors":
                return load_file(path)
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file may raise anything
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    refused = re.search(r"GLOBAL ([\w.]+)", str(error))
    if refused:
        return CheckpointError(
            f"{path} holds the Python object {refused[1]} beside weights, which could run any code when it is "
            f"read: where you trust the file, read it with torch.load(FILE, weights_only=False) and save the weights "
            f"alone, torch.save(network.state_dict(), FILE)"
        )
    kind = "safetensors file" if path.suffix == ".safetensors" else "PyTorch checkpoint"
    return CheckpointError(f"{path} cannot be read as a {kind}: it is cut off, or something else; copy it again")


def _namespaces() -> contextlib.AbstractContextManager[Any]:
    """Published training content holds the options of the run as an `argparse.Namespace`, which is mere data."""
    allowing = getattr(torch.serialization, "safe_globals", None)  # from PyTorch 2.5 on
    return allowing([argparse.Namespace]) if allowing else contextlib.nullcontext()


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0 and all(isinstance(item, Tensor) for item in value.values())


def _bare_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the `module.` of `DataParallel` and the `_orig_mod.` of `torch.compile` before each name."""
    return {re.sub(r"^((module|_orig_mod)\.)+", "", str(name)): weight for name, weight in state.items()}


def _averages(content: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Moving averages `ema` of the weights in the state of an optimiser, which counts them in the same order."""
    names, weights = list(_bare_names(state)), list(state.values())
    for optimizer in content.values():
        kept = optimizer.get("state") if isinstance(optimizer, Mapping) else None
        if not isinstance(kept, Mapping) or len(kept) != len(weights):
            continue
        averages = [kept[key].get("ema") for key in sorted(kept) if isinstance(kept[key], Mapping)]
        tensors = [average for average in averages if isinstance(average, Tensor)]
        if [average.shape for average in tensors] == [weight.shape for weight in weights]:
            return dict(zip(names, tensors, strict=True))
    return None
