"""What the options of a published training, kept beside its weights, say of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rgmkit.errors import CheckpointError

PROCESSES = {"ddpm": "gaussian", "sr": "multiscale"}  # by their published names
LADDER = {"discrete_type": "original", "beta_min": 0.1, "beta_max": 20.0, "sf": 0.5}
NETWORK = {"centered": True, "skip_rescale": True, "not_use_tanh": False}  # no weight shows these


def process_of(options: Mapping[str, Any]) -> str | None:
    """The forward process of the training; None where the options do not tell it, or rgmkit has none such.

    >>> process_of({"forward_name": "sr", "num_timesteps": 7, "discrete_type": "original"})
    'multiscale:levels=7'
    """
    name, levels = PROCESSES.get(str(options.get("forward_name"))), options.get("num_timesteps")
    usual = not _unusual(options, LADDER)
    return f"{name}:levels={levels}" if name and isinstance(levels, int) and usual else None


def side_of(options: Mapping[str, Any]) -> int | None:
    """The side of the training images in pixels."""
    side = options.get("image_size")
    return side if isinstance(side, int) else None


def check_network(checkpoint: Path, options: Mapping[str, Any]) -> None:
    """Raise a CheckpointError for a network that computes something else with its weights than `ncsnpp` would."""
    for name in _unusual(options, NETWORK):
        raise CheckpointError(
            f"{checkpoint} was trained with {name}={options[name]}: ncsnpp is the network with {name}={NETWORK[name]}, "
            f"take --network with one of your own"
        )


def _unusual(options: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    return [name for name, value in usual.items() if options.get(name, value) != value]
