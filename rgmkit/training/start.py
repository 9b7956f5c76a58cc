"""Start training from the weights of a trained model: `start: MODEL`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rgmkit import models
from rgmkit.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")


def read_start_config(start: Any, folder: Path) -> dict[str, Any]:
    """Return the configuration of the model.

    Raises:
        ConfigError: if there is no such model.
    """
    return _read(models.read_config, start, folder)


def find_start_folder(start: Any, folder: Path) -> Path | None:
    """Return the folder of the model; None without one."""
    model = None if start is None else models.find_model(start, folder)
    return None if model is None else models.locate(model.where)


def load_start_weights(network: nn.Module, start: Any, folder: Path) -> None:
    """Load the weights of the model into `network`, which may have blocks beyond those of the model if it can add them.

    Raises:
        ConfigError: if there is no such model, or its weights do not fit the network.
    """
    weights = _read(models.read_weights, start, folder)
    add_blocks = getattr(network, "add_blocks", None)
    if add_blocks is not None:
        weights = add_blocks(weights)
    differing = models.find_mismatches(weights, network.state_dict())
    if differing:
        raise ConfigError(
            f"start is {start!r}, whose weights are those of another network: {len(differing)} differ, the first is "
            f"{differing[0]}; leave out network to take the model's own, and give images of as many channels"
        )
    network.load_state_dict(weights)


def _read(reader: Callable[[str | Path], dict[str, T]], start: Any, folder: Path) -> dict[str, T]:
    model = models.find_model(start, folder)
    if model is None or model.options:
        shipped = ", ".join(models.list_shipped())
        raise ConfigError(f"start is {start!r}: give a model folder, or a shipped model ({shipped})")
    try:
        return reader(model.where)
    except CheckpointError as error:
        raise ConfigError(f"start is {start!r}: {error}") from error
