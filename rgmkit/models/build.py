"""Build the prior of a model from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rgmkit.config import build, make
from rgmkit.core.bounds import Count, Positive
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.process import ForwardProcess
from rgmkit.errors import ConfigError, PluginError


@dataclass(frozen=True)
class Images:
    """Shape and range of the training images: the value v of the process is the pixel value `center + scale * v`."""

    shape: tuple[Count, ...] | None = None
    center: float = 0.5
    scale: Positive = 0.5


def build_prior(
    config: Mapping[str, Any],
    *,
    process: ForwardProcess | None = None,
    network: nn.Module | None = None,
    images: Images | None = None,
    folder: Path | None = None,
) -> RestoringPrior:
    """Build the network prior that a configuration describes.

    Args:
        config: of a model folder or a training run.
        process, network, images: objects that exist already. Default: built from `config`, the network with random
            weights.
        folder: what relative file paths in the options are relative to.

    Raises:
        ConfigError, PluginError: for a key, a name or a value that does not fit.
    """
    if images is None:
        images = _read_images({} if config.get("images") is None else config["images"])
    if process is None:
        process = build("process", config.get("process"), folder=folder)
    if network is None:
        with torch.random.fork_rng(devices=[]):
            network = build("network", config.get("network"), process=process, image_shape=images.shape)
    prior = build(
        "prior", config.get("prior", "network"), process=process, network=network, image_shape=images.shape,
        center=images.center, scale=images.scale, generative=is_generative(config),
    )  # fmt: skip
    if not isinstance(prior, RestoringPrior):
        raise ConfigError(f"prior is {config['prior']!r}, which has no network: use 'network'")
    return prior


def is_generative(config: Mapping[str, Any]) -> bool:
    """Whether the objective of a configuration trains a generative model; an unknown objective is taken to do so."""
    if config.get("objective") is None:
        return True
    try:
        generative: bool = build("objective", config["objective"]).generative
    except (ConfigError, PluginError):
        return True
    return generative


def _read_images(given: Any) -> Images:
    if not isinstance(given, Mapping):
        raise ConfigError(f"images is {given!r}: give shape, center and scale")
    return make(Images, given, path="images")
