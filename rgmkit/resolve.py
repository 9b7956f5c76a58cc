"""Turn a name, a spec, a mapping, a folder or an object into a degradation, a prior, a solver or metrics.

Python, the command line and experiments all use these functions, and nothing else turns names into objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from rgmkit import models, plugins
from rgmkit.config import Place, Spec, build, is_number, make, options_of, read_spec
from rgmkit.core.bounds import NonNegative
from rgmkit.core.bridge import import_object
from rgmkit.core.degradation import Degradation
from rgmkit.core.metric import Metric
from rgmkit.core.noise import Noise
from rgmkit.core.noise_estimation import AffineVariance, affine_variance, rounding_step
from rgmkit.core.printable import show_option
from rgmkit.core.prior import NoPrior, Prior, RestoringPrior
from rgmkit.core.solver import Solver
from rgmkit.errors import ConfigError, DataError
from rgmkit.models import ModelSpec, find_prior
from rgmkit.runtime.precision import Precision
from rgmkit.solvers.gauss_newton import choose_solver
from rgmkit.solvers.measurement import least_noise
from rgmkit.solvers.posterior import Posterior

DEFAULT_METRICS = ("psnr", "ssim")
"""The metrics if none are given; parameters are tuned for the first."""

LISTED = 4  # most images whose noise is noted one by one

CERTAIN, NOTABLE = 5.0, 1.5  # least `certainty` and `ratio` of noise that counts as signal-dependent
TO_SET_IT = "to set it, give noise="

Given: TypeAlias = str | Spec | Mapping[str, Any]
"""A component given by its name, as a spec string, or as a mapping `{use: name, option: value}`."""


def resolve_degradation(
    given: Any,
    *,
    noise: Any = None,
    simulate: bool = False,
    path: str = "degradation",
    folder: Path | Place | None = None,
) -> Degradation:
    """Build a degradation from its name, spec or mapping, wrap an operator of deepinv, or return an object as it is.

    A degradation built without `noise=` gets the noise `None`: unknown, to be estimated from each measurement.
    An object keeps its `noise`.

    Args:
        given: the name, spec, mapping or object.
        noise: its noise, if `given` does not say: a number, or the name, spec, mapping or object of a noise model.
        simulate: whether it is for simulating measurements: without `noise=` the constructor's default then applies.
        path: its place in a configuration, for error messages.
        folder: what file paths in the options are relative to, see `rgmkit.config.build`.

    Raises:
        ConfigError, PluginError: if a name or an option is wrong, or `given` is something else.
        IncompatibleError: for an operator of deepinv that is not linear.

    >>> resolve_degradation("blur:std=2").noise is None, resolve_degradation("blur:std=2,noise=0.1").noise
    (True, 0.1)
    """
    spec = read_spec(given)
    if spec is None:
        return build("degradation", import_object(given), path=path)
    if noise is not None and "noise" in spec.options:
        raise ConfigError(
            f"{path} has noise={show_option(spec.options['noise'])}, and noise is given: keep one of them"
        )
    degradation = build("degradation", spec, path=path, folder=folder)
    if noise is not None:
        return degradation.with_noise(noise if is_number(noise) else build("noise", noise, folder=folder))
    noise_is_unknown = "noise" in options_of(type(degradation)) and "noise" not in spec.options
    return degradation.with_noise(None) if noise_is_unknown and not simulate else degradation


def resolve_prior(given: Any, *, path: str = "prior", folder: Path | None = None) -> Prior:
    """Load a model, build a prior, or return an object as it is; `None` gives `NoPrior`.

    A name is a model if it is a folder, the name of a shipped model, a weights file, or has a path separator; any other
    name is a prior plugin. A model takes the options of `rgmkit.load`, as in "digits:dtype=bf16". A `Denoiser`, `PnP`
    or explicit `Prior` of deepinv is copied.

    Raises:
        ConfigError, PluginError, CheckpointError: if a name, an option or a model folder is wrong.
    """
    if given is None:
        return NoPrior()
    found = find_prior(given, folder)
    if isinstance(found, ModelSpec):
        options = make(NetworkOptions, found.options, path="prior", what=f"the model {str(found.where)!r}")
        return models.load(found.where, **asdict(options))
    if found is not None:
        _check_network(found)
    return build("prior", import_object(given) if found is None else found, path=path, folder=folder)


def _check_network(spec: Spec) -> None:
    """Raise a ConfigError if a prior that needs a network is given without one."""
    network = options_of(plugins.load_class("prior", spec.name)).get("network")
    if network and network.required and "network" not in spec.options:
        known = ", ".join(models.list_shipped()) or "none"
        raise ConfigError(
            f"prior {spec.name!r} is a network: give a trained one, a shipped model ({known}) or a model folder"
        )


def resolve_solver(
    given: Any,
    prior: Prior,
    degradation: Degradation,
    *,
    samples: int | None = None,
    path: str = "solver",
    folder: Path | None = None,
) -> Solver:
    """Build a solver, return an object as it is, or choose the default for `None`.

    The default is `pinv` without a prior, `pnp-drs` with a network, `gradient-descent` with a prior that has a gradient
    and no prox, and `admm` with any other; around these `gauss-newton` if the degradation is not linear, or `one-shot`
    with a network if it is not linearisable either. An operator may name another one, `Degradation.default_solver`. To
    draw `samples` with a network, it is `posterior` around all of these.

    Raises:
        ConfigError, PluginError: if a name or an option is wrong.
    """
    if given is not None:
        return build("solver", given, path=path, folder=folder)
    if isinstance(prior, RestoringPrior) and samples is not None:
        return Posterior()
    return choose_solver(prior, degradation)


def resolve_metrics(given: Iterable[Any], *, has_truth: bool) -> dict[str, Metric]:
    """Build metrics and return them by label. Default: `DEFAULT_METRICS` if there is a true image, else none.

    Raises:
        ConfigError, PluginError: if a name or an option is wrong, or a metric needs the true image and there is none.
    """
    specs = list(given) or (list(DEFAULT_METRICS) if has_truth else [])
    metrics: dict[str, Metric] = {str(spec): build("metric", spec) for spec in specs}
    for label, metric in metrics.items():
        if metric.needs_truth and not has_truth:
            raise ConfigError(f"metric {label!r} compares with the true image: give it, too")
    return metrics


def resolve_noise(
    degradation: Degradation, y: Tensor, solver: Solver, *, device: torch.device | None = None
) -> tuple[list[tuple[list[int], Degradation]], tuple[str, ...]]:
    """Estimate unknown noise for each image of the measurement `y`; return notes about it for the user, and groups.

    A group holds the indices of images that can be restored in one batch, and the degradation with their noise. There
    is one group if the noise is known and does not depend on the signal, or the solver needs no noise.

    Raises:
        DataError: if the noise of `y` cannot be estimated.
    """
    noise, everything = degradation.noise, list(range(len(y)))
    depends = isinstance(noise, Noise) and noise.depends_on_signal
    unknown = noise is None or (isinstance(noise, Noise) and not noise.known)
    if not solver.needs_noise or not (unknown or depends):
        return [(everything, degradation)], ()
    found = [
        _estimate_noise(degradation, y[i : i + 1].to(device or y.device)) if unknown else (noise, "")
        for i in everything
    ]
    groups: dict[Any, tuple[list[int], Degradation]] = {}
    for i, (own, _) in enumerate(found):
        key = i if isinstance(own, Noise) and own.depends_on_signal else own
        groups.setdefault(key, ([], degradation.with_noise(own)))[0].append(i)
    notes = dict.fromkeys(note for _, note in found if note)
    stds = [own for own, _ in found if isinstance(own, float)]
    if len(notes) > LISTED and len(stds) == len(y):
        note = f"noise estimated for each of {len(y)} images: std {min(stds):g} to {max(stds):g}"
        return list(groups.values()), (note,)
    if len(notes) > 1:
        listed = [f"image {i}: {note}" for i, (_, note) in enumerate(found[:LISTED])]
        more = [f"and so for all {len(y)} images, see Solution.noise"] if len(y) > LISTED else []
        return list(groups.values()), (*listed, *more)
    return list(groups.values()), tuple(notes)


def _estimate_noise(degradation: Degradation, y: Tensor) -> tuple[float | Noise, str]:
    """Estimate the noise of the measurement `y` of one image; return it with a note for the user."""
    if isinstance(degradation.noise, Noise):
        model = degradation.noise.estimate(degradation.noise_planes(y))
        return model, f"noise estimated from the measurement: {model}; to set it, give its parameters"
    std, step = degradation.estimate_noise(y), rounding_step(y)
    least = least_noise(step, 0)
    if std > least and type(degradation).estimate_noise is Degradation.estimate_noise:
        try:
            found = affine_variance(degradation.noise_planes(y))
        except DataError:  # too few pixels
            found = AffineVariance(0, 0, 0, 1)
        if found.certainty > CERTAIN and found.ratio > NOTABLE:
            options = {"photons": float(f"{1 / found.a:.3g}"), "read": float(f"{found.b**0.5:.3g}")}
            model = build("noise", Spec("poisson-gaussian", options))
            return model, f"noise estimated from the measurement: {model}, which grows with the signal; {TO_SET_IT}"
    noise = float(f"{max(std, least):.3g}")
    if std <= least:
        what = f"the rounding of {8 if step is None else max(8, round(math.log2(1 / step)))} bits"
        return noise, f"no noise was found in the measurement: std {noise:g}, {what}, is assumed"
    return noise, f"noise estimated from the measurement: std {noise:g}; {TO_SET_IT}"


def usable_size(degradation: Degradation, image_shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of the largest crop of an image (…, H, W) that the degradation accepts.

    >>> usable_size(resolve_degradation("downsample:factor=2"), (1, 3, 15, 8))
    (14, 8)
    """
    height, width = degradation.usable_shape(tuple(image_shape))[-2:]
    return height, width


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Options for evaluating the network of a model; see `rgmkit.load`."""

    dtype: Precision = "float32"
    compile: bool = False
    weight: NonNegative | None = None
    std: float | None = None
