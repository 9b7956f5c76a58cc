"""Convert a published checkpoint to a model folder."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rgmkit import models, plugins
from rgmkit.config import Spec, build, parse_spec
from rgmkit.core.process import ForwardProcess
from rgmkit.core.random import seeded
from rgmkit.errors import CheckpointError, ConfigError
from rgmkit.models.published.checkpoint import BARE, Stored, read_checkpoint

ABOUT = "Published weights of a restoration-based generative model, converted by rgmkit. No metrics were computed."
PROCESSES = "as published gaussian:levels=4, or multiscale:levels=7 for the multi-scale model"


def convert(
    checkpoint: str | Path,
    out: str | Path,
    *,
    process: str | None = None,
    image_size: int | None = None,
    network: str = "ncsnpp",
    entry: str | None = None,
) -> dict[str, Any]:
    """Convert published weights to the model folder `out`; return the facts of its model card.

    Args:
        checkpoint: a file of `torch.save`, with a state dict or a mapping that has state dicts, or a `.safetensors`
            file. Moving averages of the weights (`ema`) in the state of an optimiser take the place of the weights.
        out: the model folder; files of a model in it are replaced.
        process: the forward process of the training, as `name:option=value`. Default: from the training options in
            the file.
        image_size: side of the training images in pixels. Default: from the same options.
        network: the network, and options that override those inferred from the weights. Its class infers them with a
            class method `read_weights(weights, side) -> (options, image_shape)`; without `side` it guesses the shape.
        entry: the state dict to convert, if there are several.

    Raises:
        CheckpointError: for a file that cannot be read, or holds another network.
        ConfigError: if an argument is missing; the message has its likely value.
    """
    checkpoint, out, spec = Path(checkpoint), Path(out), parse_spec(network)
    cls = plugins.load_class("network", spec.name)
    if not hasattr(cls, "read_weights"):
        raise ConfigError(f"network is {spec.name!r}, whose options cannot be inferred from weights: use ncsnpp")
    name, stored = _choose_entry(checkpoint, cls, entry)
    weights = stored.averaged or stored.weights
    if spec.name == "ncsnpp":
        stored.check_network(checkpoint)
    inferred = stored.process if process is None else None
    process = inferred or process
    side = stored.side if image_size is None else image_size
    if process is None or side is None:
        missing = [] if process else [f"--process with the forward process of its training ({PROCESSES})"]
        if side is None:
            likely = cls.read_weights(weights, None)[1][-1]
            missing.append(f"--image-size with the side of its training images (likely {likely})")
        raise ConfigError(f"{checkpoint} has no options of its training: give {', and '.join(missing)}")
    if side < 1:
        raise ConfigError(f"image_size is {side}: give the side of the training images in pixels")
    options, shape = cls.read_weights(weights, side)
    spec, process_spec = Spec(spec.name, {**options, **spec.options}), parse_spec(process)
    forward = build("process", process_spec)
    forward.terminal((1, *shape), generator=seeded(0))  # raises for images that the process cannot take
    _warn_of_contradictions(checkpoint, stored, forward, side)
    restorer = _build_network(checkpoint, spec, weights, process=forward, image_shape=shape)
    prior = build("prior", "gan", process=forward, network=restorer, image_shape=shape)
    config = {"process": {"use": process_spec.name, **process_spec.options}, "prior": "network"}
    config["network"] = {"use": spec.name, **spec.options}
    facts = {
        "converted from": checkpoint.name,
        "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        **({"entry": name} if name else {}),
        "weights": "moving averages from the optimiser's state" if stored.averaged else "as they are in the file",
        "process": f"{inferred}, by the options in the file" if inferred else process,
    }
    models.save(out, prior, config, facts, about=ABOUT)
    return facts


def _warn_of_contradictions(checkpoint: Path, stored: Stored, process: ForwardProcess, side: int) -> None:
    """Warn if the options of the training contradict the arguments."""
    if stored.process is not None:
        trained = build("process", stored.process)
        if type(trained) is not type(process) or not trained.a_by_level.equal(process.a_by_level):
            warnings.warn(
                f"{checkpoint} was trained with the process {stored.process}, by the options in it", stacklevel=3
            )
    if stored.side not in (None, side):
        warnings.warn(f"{checkpoint} was trained on images of side {stored.side}, by the options in it", stacklevel=3)


def _choose_entry(checkpoint: Path, cls: Any, entry: str | None) -> tuple[str, Stored]:
    """Choose the entry of the file that holds weights of a network of class `cls`."""
    found = read_checkpoint(checkpoint)
    if entry is not None:
        if BARE in found:
            raise ConfigError(f"{checkpoint} is one state dict, without entries: leave out --entry")
        if entry not in found:
            raise ConfigError(f"{checkpoint} has no state dict {entry!r}: it has {', '.join(found)}")
        found = {entry: found[entry]}
    fitting, reasons = {}, []
    for name, stored in found.items():
        try:
            cls.read_weights(stored.weights, None)
        except CheckpointError as error:
            reasons.append(f"{name}: {error}" if name else str(error))
        else:
            fitting[name] = stored
    if not fitting:
        raise CheckpointError(f"{checkpoint}: {'; '.join(reasons)}")
    if len(fitting) > 1:
        raise ConfigError(f"{checkpoint} holds several restorers, {', '.join(fitting)}: choose one with --entry")
    return next(iter(fitting.items()))


def _build_network(checkpoint: Path, spec: Spec, weights: Mapping[str, Tensor], **given: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = build("network", spec, **given)
    differing = models.find_mismatches(weights, network.state_dict())
    if differing:
        raise CheckpointError(
            f"{checkpoint} fits no {spec.name}, in {len(differing)} of its weights: the first is {differing[0]}"
        )
    network.load_state_dict(dict(weights))
    return network.eval()
