"""The options of a published training, stored beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rgmkit.errors import CheckpointError

PROCESSES = {"ddpm": "gaussian", "sr": "multiscale"}  # by their published names
SCHEDULE = {"discrete_type": "original", "beta_min": 0.1, "beta_max": 20.0, "sf": 0.5}
NETWORK = {"centered": True, "skip_rescale": True, "not_use_tanh": False}  # not visible in the weights


def process_of(options: Mapping[str, Any]) -> str | None:
    """Return the spec of the forward process of the training; None if it is unknown or rgmkit has no such process.

    >>> process_of({"forward_name": "sr", "num_timesteps": 7, "discrete_type": "original"})
    'multiscale:levels=7'
    """
    name, levels = PROCESSES.get(str(options.get("forward_name"))), options.get("num_timesteps")
    usual = not _list_unusual(options, SCHEDULE)
    return f"{name}:levels={levels}" if name and isinstance(levels, int) and usual else None


def side_of(options: Mapping[str, Any]) -> int | None:
    """Return the side of the training images in pixels; None if it is unknown."""
    side = options.get("image_size")
    return side if isinstance(side, int) else None


def check_network(checkpoint: Path, options: Mapping[str, Any]) -> None:
    """Raise a CheckpointError for options of a network that `ncsnpp` does not have."""
    for name in _list_unusual(options, NETWORK):
        raise CheckpointError(
            f"{checkpoint} was trained with {name}={options[name]}: ncsnpp has {name}={NETWORK[name]}; "
            f"give --network with one of your own"
        )


def _list_unusual(options: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    return [name for name, value in usual.items() if options.get(name, value) != value]
