"""`rgmkit restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rgmkit.cli.common import (
    PATH,
    choose_device,
    common_options,
    degradation_option,
    device_option,
    examples,
    json_option,
    print_json,
    progress,
    say,
    seed_option,
    solver_option,
)
from rgmkit.cli.files import check_storable, cropped, is_picture, npy, read_measurement, write_bytes
from rgmkit.errors import IncompatibleError

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
        "rgmkit restore noisy.png -d gaussian-noise:noise=0.1 --prior runs/faces --solver pnp-drs -o clean.png",
    ),
)
@click.argument("image", type=PATH)
@degradation_option
@click.option("--prior", metavar="PRIOR", required=True, help="A prior (SPEC), a shipped model, or a model folder.")
@solver_option
@click.option(
    "-o", "--out", metavar="OUT", type=PATH, required=True, help="The restored image: .png, .jpg, .tiff, .npy."
)
@click.option("--truth", metavar="IMAGE", type=PATH, help="The true image: PSNR and SSIM before and after are printed.")
@click.option(
    "--tile",
    metavar="N",
    type=click.IntRange(min=1),
    help="Side in pixels of the tiles that a network sees. [default: what the memory asks for]",
)
@seed_option
@json_option
@device_option
@common_options
def command(
    image: Path,
    degradation: str,
    prior: str,
    solver: str | None,
    out: Path,
    truth: Path | None,
    tile: int | None,
    seed: int,
    as_json: bool,
    device: str | None,
) -> None:
    """Restore the measurement IMAGE that the degradation made.

    "Before" is the measurement itself, enlarged where it is smaller than the image.
    """
    import dataclasses

    from rgmkit import images, inference
    from rgmkit.config import build

    images.check_target(out)
    operator = build("degradation", degradation)
    measured = read_measurement(image)
    check_storable(out, tuple(operator.image_shape(tuple(measured.x.shape))), what="image")
    for line in measured.notes:
        say(f"note: {image}: {line}")
    true = _truth(truth, operator, measured.x) if truth else None
    where = choose_device(device)
    belief = inference.as_prior(prior).to(where)
    with progress("restoring", "step") as callback:
        solution = inference.restore(
            measured.x.to(where), operator, belief, solver=solver, seed=seed, tile=tile, callback=callback
        )
    for line in solution.notes:
        say(f"note: {line}")
    x = solution.x.cpu()
    facts: dict[str, Any] = {"nfe": solution.nfe, "seconds": round(solution.seconds, 3)}
    if true is not None:
        facts |= _figures(operator.cpu().embed(measured.x), x, true.x)
    if is_picture(x):
        for line in images.write(out, dataclasses.replace(measured, x=x)).notes:
            say(f"note: {out}: {line}")
    else:
        write_bytes(out, npy(x.numpy()))
    given = {"image": image, "degradation": degradation, "prior": prior, "solver": solver, "seed": seed, "out": out}
    _report({**given, **facts}, as_json)


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


def _figures(before: Tensor, after: Tensor, truth: Tensor) -> dict[str, Any]:
    from rgmkit.metrics import psnr, ssim

    pair = {"before": before.clamp(0, 1), "after": after.clamp(0, 1)}
    return {
        measure.__name__: {when: round(float(measure(x, truth)), 4) for when, x in pair.items()}
        for measure in (psnr, ssim)
    }


def _report(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    for name, digits in (("psnr", 2), ("ssim", 3)):
        if name in facts:
            before, after = (f"{facts[name][when]:.{digits}f}" for when in ("before", "after"))
            unit = " dB" if name == "psnr" else ""
            click.echo(f"{name.upper():8} {before} -> {after}{unit}")
    click.echo(f"{'NFE':8} {facts['nfe']}")
    click.echo(f"{'seconds':8} {facts['seconds']:.2f}")
