"""Feature networks in model folders: `config.yaml`, `model.safetensors` and `README.md`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rgmkit.config import build, dump_yaml, read_yaml
from rgmkit.core.features import Features
from rgmkit.errors import CheckpointError, ConfigError, PluginError
from rgmkit.models.lookup import CARD, CONFIG, WEIGHTS, is_on_hub, locate
from rgmkit.models.model_card import FENCE
from rgmkit.runtime.files import write_file

SHIPPED_FEATURES = Path(__file__).parent / "shipped_features"


def list_features() -> list[str]:
    """List the feature networks that come with rgmkit."""
    return sorted(config.parent.name for config in SHIPPED_FEATURES.glob(f"*/{CONFIG}"))


def load_features(given: str | Path | Features) -> Features:
    """Load the feature network of a model folder, of the hub, or of rgmkit ("digits", "cifar10"), or build "inception".

    Raises:
        ConfigError, PluginError, CheckpointError: if there are no such features, or they cannot be loaded.

    >>> import torch
    >>> load_features("digits").of(torch.rand(3, 1, 16, 16)).shape
    torch.Size([3, 64])
    """
    if isinstance(given, Features):
        return given
    if given in list_features():
        return _read(SHIPPED_FEATURES / given)
    if is_on_hub(given):
        return _read(locate(given))
    if os.path.isdir(given):
        return _read(Path(given))
    try:
        return build("features", str(given))
    except PluginError as error:
        known = ", ".join(list_features())
        raise PluginError(f"{error}; feature networks: {known}, or a model folder") from error


def _read(folder: Path) -> Features:
    from rgmkit.models.folder import find_mismatches, read_weights

    config, weights = read_yaml(folder / CONFIG), read_weights(folder)
    try:
        features: Features = build("features", config.get("features"))
    except (ConfigError, PluginError) as error:
        raise CheckpointError(f"{folder} is not the model folder of a feature network: {error}") from error
    differing = find_mismatches(weights, features.state_dict())
    if differing:
        raise CheckpointError(f"{folder / WEIGHTS} does not fit {folder / CONFIG}: {differing[0]}")
    features.load_state_dict(weights)
    return features.eval().requires_grad_(False)


def save_features(folder: Path, features: Features, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write the model folder of a feature network, with its weights in half precision and the facts in its card."""
    from safetensors.torch import save as to_bytes

    weights = {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in features.state_dict().items()
    }
    write_file(folder / WEIGHTS, to_bytes(weights))
    write_file(folder / CONFIG, dump_yaml(dict(config)))
    rows = [f"| {key} | {value} |" for key, value in facts.items()]
    lines = [
        f"# {folder.resolve().name}: a feature network", "",
        "Features that `rgmkit evaluate --features` compares images by, of a classifier.", "",
        "| | |", "|---|---|", *rows, "",
    ]  # fmt: skip
    write_file(folder / CARD, FENCE + dump_yaml(dict(facts)) + FENCE + "\n".join(lines))
