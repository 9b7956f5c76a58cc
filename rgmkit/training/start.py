"""What a configuration begins with: defaults, and the trained model that it starts from, `start: MODEL`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from rgmkit import models
from rgmkit.config import override
from rgmkit.errors import CheckpointError, ConfigError
from rgmkit.models import find_model

T = TypeVar("T")

DEFAULTS: dict[str, Any] = {"seed": 0, "prior": "network", "process": "gaussian", "objective": "relativistic"}
INHERITED = ("network", "process", "prior")


def with_defaults(content: Mapping[str, Any], overrides: Iterable[str], folder: Path) -> dict[str, Any]:
    """A configuration with its overrides, and with a default for what is missing or null.

    Raises:
        ConfigError: for an override or a `start` that is wrong.
    """
    overrides = list(overrides)
    defaults = {**DEFAULTS, **_inherited(override(content, overrides).get("start"), folder)}
    full = override({**defaults, **content}, overrides)
    return {**full, **{key: value for key, value in defaults.items() if full.get(key) is None}}


def _inherited(start: Any, folder: Path) -> dict[str, Any]:
    """What a configuration takes over from the model that it starts from."""
    if start is None:
        return {}
    config = _read(models.read_config, start, folder)
    return {key: config[key] for key in INHERITED if key in config}


def load_start(network: nn.Module, start: Any, folder: Path) -> None:
    """Give a network the weights of the model that it starts from.

    Raises:
        ConfigError: if they are those of another network.
    """
    weights = _read(models.read_weights, start, folder)
    differing = models.differences(weights, network.state_dict())
    if differing:
        raise ConfigError(
            f"start is {start!r}, whose weights are those of another network: {len(differing)} differ, the first is "
            f"{differing[0]}; leave out network to take the model's own, and give images of as many channels"
        )
    network.load_state_dict(weights)


def _read(reader: Callable[[str | Path], dict[str, T]], start: Any, folder: Path) -> dict[str, T]:
    spec = find_model(start, folder)
    if spec is None or spec.options:
        shipped = ", ".join(models.shipped())
        raise ConfigError(f"start is {start!r}: give a model folder, or a shipped model ({shipped})")
    try:
        return reader(spec.where)
    except CheckpointError as error:
        raise ConfigError(f"start is {start!r}: {error}") from error
