"""Read the weights in PyTorch and safetensors files; nothing in a file is executed."""

from __future__ import annotations

import argparse
import contextlib
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
PROCESSES = {"ddpm": "gaussian", "sr": "multiscale"}  # by their published names
SCHEDULE = {"discrete_type": "original", "beta_min": 0.1, "beta_max": 20.0, "sf": 0.5}
NETWORK = {"centered": True, "skip_rescale": True, "not_use_tanh": False}  # not visible in the weights


@dataclass(frozen=True, eq=False)
class Stored:
    """The weights of one network in a file; their names have no prefixes of wrappers.

    Attributes:
        weights: by name.
        averaged: their moving averages, if the file has them in the state of an optimiser.
        options: the training options, if the file has them as an `argparse.Namespace`.
    """

    weights: dict[str, Tensor]
    averaged: dict[str, Tensor] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def process(self) -> str | None:
        """The spec of the forward process of the training; None if it is unknown or rgmkit has no such process.

        >>> Stored({}, options={"forward_name": "sr", "num_timesteps": 7, "discrete_type": "original"}).process
        'multiscale:levels=7'
        """
        name, levels = PROCESSES.get(str(self.options.get("forward_name"))), self.options.get("num_timesteps")
        usual = not self._list_unusual(SCHEDULE)
        return f"{name}:levels={levels}" if name and isinstance(levels, int) and usual else None

    @property
    def side(self) -> int | None:
        """The side of the training images in pixels; None if it is unknown."""
        side = self.options.get("image_size")
        return side if isinstance(side, int) else None

    def check_network(self, checkpoint: Path) -> None:
        """Raise a CheckpointError for options of a network that `ncsnpp` does not have."""
        for name in self._list_unusual(NETWORK):
            raise CheckpointError(
                f"{checkpoint} was trained with {name}={self.options[name]}: ncsnpp has {name}={NETWORK[name]}; "
                f"give --network with one of your own"
            )

    def _list_unusual(self, usual: Mapping[str, Any]) -> list[str]:
        return [name for name, value in usual.items() if self.options.get(name, value) != value]


def read_checkpoint(path: Path) -> dict[str, Stored]:
    """Read the state dicts in a file, by entry; a file that is a state dict itself has the one entry `BARE`.

    Raises:
        CheckpointError: for a file that is missing, truncated or not a checkpoint, or that holds objects other than
            weights and plain values.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "netG.pth"
    >>> torch.save({"netG_dict": {"module.conv.bias": torch.zeros(2)}, "epoch": 3}, file)
    >>> read_checkpoint(file)["netG_dict"].weights
    {'conv.bias': tensor([0., 0.])}
    """
    content = _read(path)
    if _is_state(content):
        return {BARE: Stored(_strip_prefixes(content))}
    entries = content if isinstance(content, Mapping) else {}
    found = {str(key): value for key, value in entries.items() if _is_state(value)}
    if not found:
        raise CheckpointError(f"{path} holds no state dict: give a file of torch.save(network.state_dict(), FILE)")
    options = next((vars(value) for value in content.values() if isinstance(value, argparse.Namespace)), {})
    return {
        name: Stored(_strip_prefixes(state), _find_averages(content, state), options) for name, state in found.items()
    }


def _read(path: Path) -> Any:
    from safetensors.torch import load_file

    if not path.is_file():
        problem = "is a folder: give a checkpoint file in it" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {problem}")
    with path.open("rb") as file, _allow_namespaces(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old formats; errors are raised below
        try:
            if path.suffix == ".safetensors":
                return load_file(path)
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file may raise anything
            raise _explain(path, error) from error


def _explain(path: Path, error: Exception) -> CheckpointError:
    refused = re.search(r"GLOBAL ([\w.]+)", str(error))
    if refused:
        return CheckpointError(
            f"{path} holds the Python object {refused[1]} beside weights, which could run any code when it is "
            f"read: where you trust the file, read it with torch.load(FILE, weights_only=False) and save the weights "
            f"alone, torch.save(network.state_dict(), FILE)"
        )
    kind = "safetensors file" if path.suffix == ".safetensors" else "PyTorch checkpoint"
    return CheckpointError(f"{path} cannot be read as a {kind}: it is cut off, or something else; copy it again")


def _allow_namespaces() -> contextlib.AbstractContextManager[Any]:
    """Allow `argparse.Namespace`, plain data in which published checkpoints hold the options of the training."""
    return torch.serialization.safe_globals([argparse.Namespace])


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0 and all(isinstance(item, Tensor) for item in value.values())


def _strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes `module.` of `DataParallel` and `_orig_mod.` of `torch.compile` from the names."""
    return {re.sub(r"^((module|_orig_mod)\.)+", "", str(name)): weight for name, weight in state.items()}


def _find_averages(content: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the moving averages `ema` from the state of an optimiser, which is in the order of the weights."""
    names, weights = list(_strip_prefixes(state)), list(state.values())
    for optimizer in content.values():
        states = optimizer.get("state") if isinstance(optimizer, Mapping) else None
        if not isinstance(states, Mapping) or len(states) != len(weights):
            continue
        averages = [states[key].get("ema") for key in sorted(states) if isinstance(states[key], Mapping)]
        tensors = [average for average in averages if isinstance(average, Tensor)]
        if [average.shape for average in tensors] == [weight.shape for weight in weights]:
            return dict(zip(names, tensors, strict=True))
    return None
