"""`rgmkit restore`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rgmkit.cli.common import (
    PATH,
    common_options,
    degradation_option,
    device_option,
    examples,
    json_option,
    say,
    seed_option,
    solver_option,
)
from rgmkit.cli.files import check_apart, cropped
from rgmkit.cli.outcome import figures, report, std_path, write_std
from rgmkit.errors import AccuracyWarning, IncompatibleError
from rgmkit.images.formats import USUAL_ENDINGS

if TYPE_CHECKING:
    from torch import Tensor

    from rgmkit.core.degradation import Degradation
    from rgmkit.images import Picture


@click.command(
    "restore",
    short_help="Restore a measurement.",
    epilog=examples(
        "rgmkit restore blurred.png -d blur:std=2,noise=0.02 --prior tv -o restored.png",
        "rgmkit restore small.npy -d downsample:factor=2 --prior digits -o large.png --truth digit.png --json",
        "rgmkit restore noisy.png -d gaussian-noise --prior runs/faces --samples 16 -o clean.png --trace",
    ),
)
@click.argument("image", type=PATH)
@degradation_option
@click.option(
    "--prior",
    metavar="PRIOR",
    help="A prior (SPEC), a shipped model, or a model folder, which takes :dtype=bf16 and :compile=true. "
    "[default: none, and the pseudo-inverse as the solver]",
)
@solver_option
@click.option("-o", "--out", metavar="OUT", type=PATH, required=True, help=f"The restored image: {USUAL_ENDINGS}.")
@click.option("--truth", metavar="IMAGE", type=PATH, help="The true image: PSNR and SSIM before and after are printed.")
@click.option(
    "--tile",
    metavar="N",
    type=click.IntRange(min=1),
    help="Side in pixels of the tiles that a network restores. [default: what the memory asks for]",
)
@click.option(
    "--samples",
    metavar="N",
    type=click.IntRange(min=1),
    help="Draw N restorations: OUT is their mean, and OUT with -std before the ending their standard deviation.",
)
@click.option("--trace", is_flag=True, help="Print residual, change, level … of each step of the solver.")
@seed_option
@json_option
@device_option
@common_options
def command(
    image: Path,
    degradation: str,
    prior: str | None,
    solver: str | None,
    out: Path,
    truth: Path | None,
    tile: int | None,
    samples: int | None,
    trace: bool,
    seed: int,
    as_json: bool,
    device: str | None,
) -> None:
    """Restore the measurement IMAGE that the degradation made.

    A degradation without noise=… gets the noise that is found in IMAGE, and a note says how much.
    "Before" is the measurement itself, enlarged where it is smaller than the image.
    """
    from rgmkit import images, inference
    from rgmkit.images.measurements import check_storable
    from rgmkit.resolve import resolve_degradation, resolve_prior
    from rgmkit.runtime.device import choose_device

    for target in [out] if samples is None else [out, std_path(out)]:
        images.check_target(target)
        check_apart(target, image)
        if truth:
            check_apart(target, truth, "true image")
    operator = resolve_degradation(degradation)
    measured = images.read_measurement(image)
    check_storable(out, tuple(operator.image_shape(tuple(measured.x.shape))), what="image")
    for line in measured.notes:
        say(f"note: {image}: {line}")
    true = _truth(truth, operator, measured.x) if truth else None
    where = choose_device(device)
    belief = resolve_prior(prior).to(where)
    options: dict[str, Any] = {"solver": solver, "seed": seed, "samples": samples, "tile": tile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)  # the notes say it
        solution = inference.restore(measured.x.to(where), operator, belief, **options)
    for line in solution.notes:
        say(f"note: {line}")
    x = solution.x.cpu()
    facts: dict[str, Any] = {"nfe": solution.nfe, "seconds": round(solution.seconds, 3)}
    facts |= {"noise": solution.noise, "notes": list(solution.notes)}
    if true is not None:
        facts |= figures(operator.embed(measured.x), x, true.x)
    for line in images.write_measurement(out, x, like=measured).notes:
        say(f"note: {out}: {line}")
    if solution.std is not None:
        facts["std"] = write_std(out, solution.std.cpu(), measured)
    if trace:
        facts["trace"] = solution.trace
    given = {"image": image, "degradation": degradation, "prior": prior, "solver": solver, "seed": seed, "out": out}
    report({**given, **facts}, as_json)


def _truth(path: Path, operator: Degradation, y: Tensor) -> Picture:
    """The true image, cropped as `degrade` crops it, once its shape is known to fit."""
    from rgmkit import images

    picture, note = cropped(images.read(path), operator)
    expected = tuple(operator.image_shape(tuple(y.shape)))
    if tuple(picture.x.shape) != expected:
        raise IncompatibleError(
            f"--truth {path} has shape {tuple(picture.x.shape)}, and the measurement is of an image of shape "
            f"{expected}: give the image that was measured"
        )
    if note:
        say(f"note: {path}: {note}")
    return picture
