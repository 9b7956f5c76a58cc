"""Read training configurations: fill in defaults, and find errors before PyTorch is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rgmkit import plugins
from rgmkit.config import build, make, override, read_spec, read_yaml, take_plugins
from rgmkit.core.bounds import INTEGERS
from rgmkit.errors import ConfigError, show_value, suggest
from rgmkit.models.lookup import set_boundaries, set_severities
from rgmkit.training.settings import TrainingSettings
from rgmkit.training.start import read_start_config

KEYS = ("data", "prior", "process", "network", "critic", "objective", "training", "seed", "start", "plugins", "images")
DEFAULTS: dict[str, Any] = {"seed": 0, "prior": "network", "process": "gaussian", "objective": "relativistic"}
INHERITED = ("network", "process", "prior")  # keys that default to those of the model under `start`
KINDS = {"critic": "network"} | {key: key for key in ("data", "prior", "process", "network", "objective")}


@dataclass(frozen=True)
class Configuration:
    """A checked training configuration with its defaults.

    Attributes:
        content: values by key; components are names, specs, mappings or objects.
        settings: the options under `training`.
        folder: the folder that relative paths start from.
        name: the stem of the file name, or "model".
    """

    content: dict[str, Any]
    settings: TrainingSettings
    folder: Path
    name: str


def read_configuration(
    given: str | Path | Mapping[str, Any], overrides: Iterable[str] = (), *, folder: Path | None = None
) -> Configuration:
    """Read a YAML file, or take the mapping in it, apply `path=value` overrides, and fill in the defaults.

    Raises:
        ConfigError: for an unknown or missing key, or an invalid value.
        PluginError: for a component that no plugin provides, or a plugin file that cannot be loaded.
    """
    path = None if isinstance(given, Mapping) else Path(given)
    content = dict(given) if isinstance(given, Mapping) else read_yaml(given)
    folder = folder or (path.parent if path else Path())
    content = take_plugins(_fill_in(content, list(overrides), folder), folder)
    _check(content)
    training = {} if content.get("training") is None else content["training"]
    settings = make(TrainingSettings, training, path="training")
    if settings.minutes is not None and training.get("steps") is not None:
        raise ConfigError(f"training has steps, {settings.steps}, and minutes, {settings.minutes:g}: give one of them")
    return Configuration(content, settings, folder, path.stem if path else "model")


def _fill_in(content: Mapping[str, Any], overrides: list[str], folder: Path) -> dict[str, Any]:
    defaults = {**DEFAULTS, **_inherit(override(content, overrides).get("start"), folder)}
    full = override({**defaults, **content}, overrides)
    filled = {**full, **{key: value for key, value in defaults.items() if full.get(key) is None}}
    return set_boundaries(set_severities(filled, [0, 1]), "reflect")


def _inherit(start: Any, folder: Path) -> dict[str, Any]:
    """Return the defaults that a configuration takes from the model under `start`."""
    if start is None:
        return {}
    config = read_start_config(start, folder)
    return {key: config[key] for key in INHERITED if key in config}


def _check(content: Mapping[str, Any]) -> None:
    for key in content:
        if key not in KEYS:
            raise ConfigError(f"{key} is not a key of a training configuration: {suggest(key, KEYS)}")
    for key in ("data", "network"):
        if content.get(key) is None:
            raise ConfigError(f"{key} is missing: name the {key} to train{' on' if key == 'data' else ''}")
    seed = content["seed"]
    if not isinstance(seed, int) or isinstance(seed, bool) or seed not in INTEGERS:
        raise ConfigError(f"seed is {show_value(seed)}: give a whole number of at most 64 bits")
    for key, kind in KINDS.items():
        value = content.get(key)
        spec = read_spec(value)
        if spec is not None:
            plugins.lookup(kind, spec.name)
        elif isinstance(value, (bool, int, float, list, Mapping)):
            build(kind, value, path=key)  # raises an error with the names
