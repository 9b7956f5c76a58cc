"""What `restore` and `generate` make of their arguments."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import nn

from rgmkit import plugins
from rgmkit.config import Spec, build, options_of, parse_spec
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import NoPrior, Prior, RestoringPrior
from rgmkit.core.solver import Solver
from rgmkit.errors import ConfigError, DataError, IncompatibleError, PluginError

Asked: TypeAlias = str | Spec | Mapping[str, Any]
"""A component by its name, as a spec string, or as a mapping `{use: name, option: value}`."""


def as_degradation(degradation: Any) -> Degradation:
    """A degradation from an object, a name, a spec or a mapping, or from a deepinv `LinearPhysics`, which is copied.

    Raises:
        ConfigError, PluginError: if it is something else, or an option or a name is wrong.
        IncompatibleError: for an operator of deepinv that is not linear.
    """
    made: Degradation = build("degradation", _native(degradation))
    return made


def _native(thing: Any) -> Any:
    """An object of deepinv as one of rgmkit; anything else as it is. Imports deepinv only if it is there already."""
    if not any(cls.__module__.partition(".")[0] == "deepinv" for cls in type(thing).__mro__):
        return thing
    from rgmkit_deepinv.objects import from_deepinv

    return from_deepinv(thing)


def as_prior(prior: Any) -> Prior:
    """A prior from an object, a name, a spec, or a model: a shipped name or a folder.

    A `Denoiser`, `PnP` or explicit `Prior` of deepinv will do, too; a copy of it is used.
    A name is a model when it is a folder, when a shipped one has it, or when it holds a path separator; any other
    names a component. A model takes the options of `rgmkit.load`: "digits:dtype=bf16".
    """
    from rgmkit import models
    from rgmkit.model_spec import model_spec

    model = model_spec(prior)
    if model is not None:
        return model.load()
    if not isinstance(prior, str):
        return build("prior", _native(prior))
    spec, known = parse_spec(prior), ", ".join(models.shipped()) or "none"
    try:
        options = options_of(plugins.load_class("prior", spec.name))
    except PluginError as error:
        if any(component.name == spec.name for component in plugins.found("prior")):
            raise
        raise PluginError(f"{error}; models: {known}, or a folder ./NAME") from error
    if "network" in options and options["network"].required and "network" not in spec.options:
        raise ConfigError(
            f"prior {spec.name!r} is a network: give a trained one, a shipped model ({known}) or a model folder"
        )
    return build("prior", spec)


def default_solver(prior: Prior, degradation: Degradation) -> Solver:
    """The solver that fits.

    `pinv` without a prior; `admm` with one that is no network, or `pgd` where the prox of the degradation takes
    iterations; `pnp-drs` with a network, or `one-shot` where the degradation is not linear.
    """
    if isinstance(prior, NoPrior):
        return build("solver", "pinv")
    if not isinstance(prior, RestoringPrior):
        return build("solver", "admm" if degradation.linear and degradation.closed_prox else "pgd")
    return build("solver", "pnp-drs" if degradation.linear else "one-shot")


def check_fits(prior: Prior, shape: tuple[int, ...]) -> None:
    """Raise an IncompatibleError unless the prior's training images are of this kind: axes and channels."""
    trained = getattr(prior, "image_shape", None)
    if trained is None:
        if len(shape) == 1:
            raise DataError(f"y of shape (B, {shape[0]}) holds vectors: give an image as (1, H, W)")
        return
    if len(shape) != len(trained) or shape[0] != trained[0]:
        raise IncompatibleError(
            f"the model was trained on {_kind(trained)} and the image asked for is {_kind(shape)}: take another model"
        )


def _kind(shape: tuple[int, ...]) -> str:
    if len(shape) != 3:
        return f"points of {shape[0]} values" if len(shape) == 1 else f"arrays {tuple(shape)}"
    word = {1: "grey", 3: "colour"}.get(shape[0])
    return f"{word or 'many-channel'} {tuple(shape)}"


def home(prior: Prior) -> tuple[torch.device | None, torch.dtype | None]:
    """Where the prior lives, and the precision of its images: that of its parameters, float32 for half precision.

    None where it has no parameters.
    """
    tensors = itertools.chain(prior.parameters(), prior.buffers())
    device = next((tensor.device for tensor in tensors), None)
    dtype = next((p.dtype for p in prior.parameters() if p.is_floating_point()), None)
    return device, None if dtype is None else torch.promote_types(dtype, torch.float32)


def moved(module: Degradation, device: torch.device) -> Degradation:
    """`module`, or a copy of it where the tensors of the caller's own are on another device."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    if all(tensor.device == device for tensor in tensors):
        return module
    return copy.deepcopy(module).to(device)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """`module` in evaluation mode for a while; every part goes back to the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
