"""`rgmkit.evaluate`: read it from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rgmkit.core.features import Features
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.errors import ConfigError, DataError, IncompatibleError
from rgmkit.evaluation.comparison import LEAST, Comparer
from rgmkit.evaluation.data import RealImages, resolve_data
from rgmkit.evaluation.generation import evaluate_chains, evaluate_generation
from rgmkit.evaluation.restoration import evaluate_restorations
from rgmkit.evaluation.result import Cost, Evaluation, Restoration, Row
from rgmkit.models.features import load_features
from rgmkit.resolve import resolve_degradation, resolve_metrics, resolve_prior
from rgmkit.runtime.device import as_device
from rgmkit.training.data.base import Data

DEGRADATIONS = (
    "gaussian-noise:noise=0.1",
    "blur:std=1.5,noise=0.02",
    "downsample:factor=2,noise=0.02",
    "inpaint:keep=0.5,noise=0.02",
)
LARGEST = 64  # side in pixels up to which images are compared by the features `cifar10`, if none are named


def evaluate(
    model: str | Path | Prior,
    data: str | Path | Data,
    *,
    test: str | Path | Data | None = None,
    features: str | Path | Features | None = None,
    count: int = 1000,
    seeds: Sequence[int] = (0,),
    levels: Sequence[int] | None = None,
    reference: int = 10_000,
    degradations: Sequence[Any] = DEGRADATIONS,
    restored: int = 50,
    metrics: Sequence[str] = ("psnr", "ssim"),
    solver: Any = None,
    batch: int | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Evaluation:
    """Compare the images that a model generates with real ones, and measure how well it restores.

    A prior that generates nothing, such as a denoiser, is only measured by its restorations.

    Args:
        model: the name of a shipped model, a model folder, or a prior.
        data: the real images: a folder of pictures, a tar archive, an .npz or .npy file, or a data source such as
            "digits". Pictures are cropped to the size of the training images.
        test: held-out images to restore and to start chains from. Default: those of `data`.
        features: by which images are compared: "inception" (then the Fréchet distance is the FID), the feature networks
            "digits" and "cifar10", the model folder of another one, or an object. Default: "digits" for the data
            `digits`, "cifar10" for other images of up to 64 pixels a side, and "inception" for larger ones.
        count: how many images to generate; 0 for none.
        seeds: of the images; the metrics are means over them.
        levels: from which chains are started with degraded real images, which shows at which level quality degrades.
            Default: all, or 7 where there are more.
        reference: how many real images to compare with, at most.
        degradations: objects, names or specs of what is to be restored with the default solver.
        restored: how many images to restore from each degradation; 0 for none.
        metrics: of restorations, such as "torchmetrics.LPIPS", which downloads its weights the first time.
        solver: with which to generate. Default: `cascade`.
        batch: number of images computed at a time. Default: by the size of the images.
        device: on which to compute. Default: that of the prior.
        progress: whether to show progress bars in a terminal or notebook.

    Raises:
        ConfigError, PluginError, CheckpointError, DataError: if an argument, a name or a file is wrong.
        IncompatibleError: if the images do not fit the model or the features.

    >>> found = evaluate("digits", "digits", count=50, levels=(), restored=4, degradations=["inpaint:keep=0.5,noise=0"])
    >>> found.cost.nfe, sorted(found.generation[0].metrics)[:3]
    (4, ['Fréchet', 'coverage', 'density'])
    """
    if not count and not restored:
        raise ConfigError("count and restored are 0: give a number of images to generate or to restore")
    _check(count=count, restored=restored)
    if not seeds:
        raise ConfigError("seeds is empty: give one or more")
    prior, measures = resolve_prior(model), resolve_metrics(metrics, has_truth=True).values()
    operators = [(str(spec), resolve_degradation(spec, simulate=True)) for spec in degradations]
    if device is not None:
        prior = prior.to(as_device(device))
    shape = getattr(prior, "image_shape", None)
    if count and min(count, reference) < 2 * LEAST:
        raise ConfigError(f"count is {count}, reference {reference}: give {2 * LEAST} or more of each, or count 0")
    real = RealImages(resolve_data(data, shape), reference, max(count, restored))
    held_out = real if test is None else RealImages(resolve_data(test, shape), 0, max(count, restored))
    generates = count > 0 and isinstance(prior, RestoringPrior) and (prior.generative or solver is not None)
    for source in (real, held_out):
        _check_shape(prior, source.data, exactly=generates)
    rows: list[Row] = []
    notes: list[str] = []
    cost: Cost | None = None
    name = ""
    if generates:
        assert isinstance(prior, RestoringPrior)
        if real.reference < 2 * LEAST:
            raise DataError(
                f"{data} holds {real.reference} images: give {2 * LEAST} or more to compare with, or count 0"
            )
        name, chosen = _choose_features(features, real.data)
        comparer = Comparer(real, chosen, prior.device, count=count, progress=progress)
        options = {"seeds": seeds, "solver": solver, "batch": batch, "progress": progress}
        noise, cost = evaluate_generation(prior, comparer, count, **options)
        images, apart = held_out.starts(count), test is not None or not held_out.overlaps
        chains = [] if len(images) < LEAST else evaluate_chains(prior, comparer, images, levels, **options)
        rows = [noise, *chains, *(comparer.between_images(images) if apart else []), comparer.between_real()]
        if chains and not apart:
            notes.append("chains start from images that are also compared with: give held-out ones as test")
        if len(images) < count:
            notes.append(_explain_few(len(images), count))
    elif count:
        notes.append(
            "this prior generates no images: it is measured by its restorations alone; a denoiser with many levels "
            "generates with the solver cascade:eta=0"
        )
    restorations: list[Restoration] = []
    if restored and len(real.data.shape) == 3:
        images = held_out.starts(restored)
        restorations = evaluate_restorations(prior, images, operators, measures, seed=seeds[0], progress=progress)
    return Evaluation(
        model=str(model),
        data=type(data).__name__ if isinstance(data, Data) else str(data),
        features=name,
        count=count,
        reference=real.reference,
        seeds=tuple(seeds),
        device=str(prior.device or "cpu"),
        generation=rows,
        cost=cost,
        restoration=restorations,
        notes=tuple(notes),
    )


def _explain_few(images: int, count: int) -> str:
    if images < LEAST:
        return f"no chains start from real images: there are {images} of them, and {LEAST} are needed"
    return (
        f"{images} images are compared in the rows from real images, and {count} in that from noise; the Fréchet "
        f"distance is larger for fewer images: compare the rows with count {images}"
    )


def _check(**given: int) -> None:
    for name, value in given.items():
        if value < 0:
            raise ConfigError(f"{name} is {value}: give 0 or more")


def _check_shape(prior: Prior, data: Data, *, exactly: bool) -> None:
    trained = getattr(prior, "image_shape", None)
    prior.check_shape(data.shape)
    if exactly and trained is not None and tuple(trained) != tuple(data.shape):
        raise IncompatibleError(f"the images of the data are {data.shape}, and those of the model {tuple(trained)}")


def _choose_features(given: str | Path | Features | None, data: Data) -> tuple[str, Features | None]:
    """Return the name of the features and the network; points are their own features."""
    if len(data.shape) != 3:
        return "coordinates", None
    if given is None:
        from rgmkit.training.data.digits import Digits

        small = max(data.shape[1:]) <= LARGEST
        given = "digits" if isinstance(data, Digits) else "cifar10" if small else "inception"
    return (type(given).__name__ if isinstance(given, Features) else str(given)), load_features(given)
