"""`rgmkit evaluate`."""

from __future__ import annotations

import re

import click

from rgmkit.cli import options
from rgmkit.cli.checks import check_names
from rgmkit.cli.options import echo, examples, print_json, say_notes
from rgmkit.errors import ConfigError


@click.command(
    short_help="Compare generated images with real ones, and measure restorations.",
    epilog=examples(
        "rgmkit evaluate digits --data digits --test digits:split=held-out --seeds 6",
        "rgmkit evaluate runs/faces --data faces/train --test faces/test --features inception:weights=inception.pth",
        "rgmkit evaluate runs/faces --data faces.tar -n 10000 --restored 0 --json",
        "rgmkit evaluate photographs --data folder:path=pictures,size=128 -d blur:std=2,noise=0.02",
    ),
)
@click.argument("model")
@click.option(
    "--data",
    metavar="DATA",
    required=True,
    help="The real images: a folder of pictures, a tar archive, an .npz file, or a data source such as digits.",
)
@click.option(
    "--test",
    metavar="DATA",
    help="Held-out images, to restore and to start chains from. [default: those of --data]",
)
@click.option(
    "--features",
    metavar="FEATURES",
    help="Features by which images are compared: inception, digits, cifar10, or a feature network in a model folder or "
    "on the hub. [default: by the size of the images]",
)
@click.option(
    "-n",
    "--count",
    metavar="N",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Number of images to generate; 0 for none.",
)
@options.seed
@click.option(
    "--seeds",
    metavar="K",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Number of seeds, S, S+1, …, over which metrics are averaged.",
)
@click.option(
    "--levels",
    metavar="LEVELS",
    default="all",
    show_default=True,
    help="Levels from which chains are started with degraded real images, such as 1,3; none; or all, but at most 7.",
)
@click.option(
    "--reference",
    metavar="N",
    type=click.IntRange(min=2),
    default=10_000,
    show_default=True,
    help="Most real images to compare with.",
)
@click.option(
    "-d",
    "--degradation",
    "degradations",
    metavar="SPEC",
    multiple=True,
    help="A degradation to restore. May be repeated. [default: noise, blur, downsampling, and missing pixels]",
)
@click.option(
    "--restored",
    metavar="N",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Number of images to restore from each degradation; 0 for none.",
)
@click.option(
    "--metric",
    "metrics",
    metavar="METRIC",
    multiple=True,
    help="A metric of restorations, such as torchmetrics.LPIPS. May be repeated. [default: psnr and ssim]",
)
@options.solver
@click.option(
    "--batch", metavar="B", type=click.IntRange(min=1), help="Images per batch. [default: by the size of the images]"
)
@options.device
@options.as_json
@options.max_pixels
@options.common
def evaluate(
    model: str,
    data: str,
    test: str | None,
    features: str | None,
    count: int,
    seed: int,
    seeds: int,
    levels: str,
    reference: int,
    degradations: tuple[str, ...],
    restored: int,
    metrics: tuple[str, ...],
    solver: str | None,
    batch: int | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Compare images that MODEL generates with real ones, and measure how well it restores.

    The first table has distances between the features of both (Fréchet, kernel), their overlap (precision, recall,
    density, coverage), and the Fréchet distance divided by that of as many real images ("of real").
    Distances are called FID and KID only with the features inception. A row for each chain that starts from
    real images, degraded to a level, shows at which level quality degrades. The second table has metrics of
    restorations with the default solver. Features of real images are kept in a cache: see docs/evaluation.md.
    """
    chosen = _read_levels(levels)
    check_names(prior=model, solver=solver)
    for degradation in degradations:
        check_names(degradation=degradation)
    for metric in metrics:
        check_names(metric=metric)
    from rgmkit.evaluation import evaluate
    from rgmkit.evaluation.model import DEGRADATIONS
    from rgmkit.runtime.device import choose_device

    found = evaluate(
        model,
        data,
        test=test,
        features=features,
        count=count,
        seeds=range(seed, seed + seeds),
        levels=chosen,
        reference=reference,
        degradations=degradations or DEGRADATIONS,
        restored=restored,
        metrics=metrics or ("psnr", "ssim"),
        solver=solver,
        batch=batch,
        device=choose_device(device),
    )
    say_notes(found.notes)
    if as_json:
        print_json(found.to_dict())
    else:
        echo(str(found))


def _read_levels(text: str) -> list[int] | None:
    """Read a list of levels; None for all."""
    if text == "all":
        return None
    if text == "none":
        return []
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise ConfigError(f"--levels is {text!r}: give levels such as 1,3, or all or none")
    return [int(level) for level in text.split(",")]
