"""`rgmkit restore`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click

from rgmkit.cli import options
from rgmkit.cli.checks import check_names, check_pictures
from rgmkit.cli.degrade import read_true_image
from rgmkit.cli.options import PATH, examples, say
from rgmkit.cli.output import compare, print_restoration, std_path, write_restoration
from rgmkit.errors import AccuracyWarning
from rgmkit.images.formats import USUAL_ENDINGS


@click.command(
    short_help="Restore a measurement.",
    epilog=examples(
        "rgmkit restore blurred.png -d blur:std=2,noise=0.02 --prior tv -o restored.png",
        "rgmkit restore small.npy -d downsample:factor=2 --prior digits -o large.png --truth digit.png --json",
        "rgmkit restore noisy.png -d gaussian-noise --prior runs/faces --samples 16 -o clean.png --trace",
    ),
)
@click.argument("image", type=PATH)
@options.degradation
@click.option(
    "--prior",
    metavar="PRIOR",
    help="A prior (SPEC), a shipped model, or a model folder, which takes :dtype=bf16 and :compile=true. "
    "[default: none, and the pseudo-inverse as the solver]",
)
@options.solver
@options.out("OUT", f"The restored image: {USUAL_ENDINGS}.", required=True)
@click.option("--truth", metavar="IMAGE", type=PATH, help="The true image, to print metrics before and after.")
@click.option(
    "--metric",
    "metrics",
    metavar="SPEC",
    multiple=True,
    help="A metric, such as psnr-y or torchmetrics.LPIPS. May be repeated. [default: psnr and ssim, with --truth]",
)
@click.option(
    "--tile",
    metavar="N",
    type=click.IntRange(min=1),
    help="Side in pixels of the tiles that a network restores. [default: chosen by the free memory]",
)
@click.option(
    "--samples",
    metavar="N",
    type=click.IntRange(min=1),
    help="Draw N restorations: OUT is their mean, and OUT with -std before the ending their standard deviation.",
)
@click.option("--trace", is_flag=True, help="Print the residual, the change and the level of each step of the solver.")
@options.seed
@options.json
@options.device
@options.common
def restore(
    image: Path,
    degradation: str,
    prior: str | None,
    solver: str | None,
    out: Path,
    truth: Path | None,
    metrics: tuple[str, ...],
    tile: int | None,
    samples: int | None,
    trace: bool,
    seed: int,
    as_json: bool,
    device: str | None,
) -> None:
    """Restore the measurement IMAGE of the degradation.

    If the degradation gives no noise=…, the noise is estimated from IMAGE, and a note says how large it is.
    "Before" is the measurement itself, enlarged if it is smaller than the image.
    """
    check_pictures(image, [out] if samples is None else [out, std_path(out)], truth=truth)
    check_names(degradation=degradation, prior=prior, solver=solver)
    for metric in metrics:
        check_names(metric=metric)
    from rgmkit import images
    from rgmkit.inference import restore_batch
    from rgmkit.resolve import resolve_degradation, resolve_metrics, resolve_prior, resolve_solver
    from rgmkit.runtime.device import choose_device

    place = choose_device(device)
    operator, network = resolve_degradation(degradation).to(place), resolve_prior(prior).to(place)
    method = resolve_solver(solver, network, operator)
    measures = resolve_metrics(metrics, has_truth=truth is not None)

    measured = images.read_measurement(image)
    y = measured.x.to(place)
    shape = tuple(operator.image_shape(tuple(y.shape)))
    images.check_storable(out, shape, what="image")
    true = read_true_image(truth, operator, shape=shape) if truth else None
    for note in measured.notes:
        say(f"note: {image}: {note}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)  # the notes say it
        solution = restore_batch(y, operator, network, method, seed=seed, samples=samples, tile=tile)
    for note in solution.notes:
        say(f"note: {note}")

    facts: dict[str, Any] = {
        "image": image, "degradation": degradation, "prior": prior, "solver": solver, "seed": seed, "out": out,
        "nfe": solution.nfe, "seconds": round(solution.seconds, 3), "noise": solution.noise,
        "notes": list(solution.notes),
    }  # fmt: skip
    if measures:
        facts |= compare(operator.embed(y).cpu(), solution.x.cpu(), true.x if true else None, measures)
    facts |= write_restoration(out, solution, like=measured)
    if trace:
        facts["trace"] = solution.trace
    print_restoration(facts, measures, as_json=as_json)
