"""Build the prior of a model from its configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rgmkit import plugins
from rgmkit.config import Place, build, make, options_of, read_spec
from rgmkit.core.bounds import Count, Positive
from rgmkit.core.objective import PriorObjective
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.process import ForwardProcess
from rgmkit.errors import ConfigError, PluginError, show_value
from rgmkit.models.features import list_features
from rgmkit.models.model_card import Kind
from rgmkit.runtime.memory import check_memory

BUILT = ("prior", "process", "network")  # keys of what a model is built of


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
) -> Prior:
    """Build the network prior that a configuration describes.

    Args:
        config: of a model folder or a training run.
        process, network, images: objects that exist already. Default: built from `config`, the network with random
            weights.
        folder: the model folder. It is data from elsewhere: files that its configuration names have to lie in it, and
            nothing is downloaded.

    Raises:
        ConfigError, PluginError: for a key, a name or a value that does not fit.
    """
    place = None if folder is None else place_inside(folder)
    if folder is not None:
        _refuse_downloads(config)
        _refuse_folders(config)
    _check_prior(config)
    if images is None:
        images = _read_images({} if config.get("images") is None else config["images"])
    if process is None:
        process = build("process", config.get("process"), folder=place)
    if network is None:
        _check_shape(config, images)
        with torch.random.fork_rng(devices=[]):
            given: dict[str, Any] = {"process": process, "image_shape": images.shape, "folder": place}
            check_size(config.get("network"), **given)
            network = build("network", config.get("network"), **given)
    prior = build(
        "prior", config.get("prior", "network"), process=process, network=network, image_shape=images.shape,
        center=images.center, scale=images.scale, generative=is_generative(config),
    )  # fmt: skip
    assert isinstance(prior, Prior)
    return prior


def check_size(spec: Any, *, copies: int = 1, device: torch.device | None = None, **given: Any) -> None:
    """Raise a DataError if so many copies of the weights of a network exceed the memory, before one is allocated."""
    if read_spec(spec) is None:  # an object
        return
    try:
        with torch.device("meta"):
            network = build("network", spec, **given)
    except Exception:  # of a constructor that reads its weights; `build` reports all else
        return
    count = sum(weight.numel() for weight in network.parameters())
    check_memory((copies, count), "weights", device)


def _check_shape(config: Mapping[str, Any], images: Images) -> None:
    """Raise a ConfigError if the network needs the shape of the training images, and the configuration lacks it."""
    spec = read_spec(config.get("network"))
    if spec and images.shape is None and "image_shape" in options_of(plugins.load_class("network", spec.name)):
        raise ConfigError("images.shape is missing: give the shape of the training images, such as [1, 16, 16]")


def place_inside(folder: Path) -> Place:
    """Place the files that a model folder names in it, and refuse all others."""

    def place(file: Path, path: str) -> Path:
        if file.is_absolute() or file.drive or ".." in file.parts:
            raise ConfigError(
                f"{path} is {str(file)!r}, outside of the model folder: where you trust it, copy it into the folder "
                f"and write its name"
            )
        if not os.path.isfile(folder / file):
            raise ConfigError(f"{path} is {str(file)!r}, and {folder} has no such file: copy it there")
        return folder / file

    return place


def _refuse_downloads(content: Any, path: str = "") -> None:
    """Raise a ConfigError if a configuration asks for a download in what a model is built of."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            if path or key in BUILT:
                if key == "download" and value:
                    raise ConfigError(f"{path}.download is {value!r}: a model folder downloads nothing")
                _refuse_downloads(value, f"{path}.{key}".lstrip("."))
    elif isinstance(content, (list, tuple)):
        for value in content:
            _refuse_downloads(value, path)
    elif isinstance(content, str) and re.search(r"^\s*download\s*$|=\s*download\b|\bdownload\s*=|\bhf:", content):
        raise ConfigError(f"{path} is {content!r}: a model folder downloads nothing")


def _refuse_folders(config: Mapping[str, Any]) -> None:
    """Raise a ConfigError if the network takes the features of another model folder."""
    spec = read_spec(config.get("network"))
    features = None if spec is None else spec.options.get("features")
    if isinstance(features, str) and features not in list_features() and Path(features).is_dir():
        raise ConfigError(f"network.features is {features!r}, outside of the model folder: name features of rgmkit")


def _check_prior(config: Mapping[str, Any]) -> None:
    """Raise a ConfigError unless the prior of a configuration takes a network; nothing is built yet."""
    given = config.get("prior", "network")
    spec = read_spec(given)
    if isinstance(given, RestoringPrior):
        return
    if spec is None or "network" not in options_of(plugins.load_class("prior", spec.name)):
        raise ConfigError(f"prior is {show_value(given)}, which is no network prior: use 'network'")


def is_generative(config: Mapping[str, Any]) -> bool:
    """Whether the objective of a configuration trains a generative model; an unknown objective is taken to do so."""
    return find_kind(config) == "generative"


def find_kind(config: Mapping[str, Any]) -> Kind:
    """Return what the objective of a configuration trains; an unknown objective is taken for a generative one."""
    given = config.get("objective")
    spec = read_spec(given)
    try:
        objective = type(given) if spec is None else plugins.load_class("objective", spec.name)
    except (ConfigError, PluginError):
        return "generative"
    if issubclass(objective, PriorObjective):
        return "regulariser"
    return "generative" if getattr(objective, "generative", True) else "denoiser"


def _read_images(given: Any) -> Images:
    if not isinstance(given, Mapping):
        raise ConfigError(f"images is {given!r}: give shape, center and scale")
    return make(Images, given, path="images")
