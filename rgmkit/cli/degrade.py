"""`rgmkit degrade`."""

from __future__ import annotations

from pathlib import Path

import click

from rgmkit.cli.common import (
    PATH,
    common_options,
    degradation_option,
    device_option,
    examples,
    say,
    seed_option,
)
from rgmkit.cli.files import check_pictures, read_true_image
from rgmkit.cli.names import check_names
from rgmkit.images.formats import USUAL_ENDINGS


@click.command(
    "degrade",
    short_help="Degrade an image and write the measurement.",
    epilog=examples(
        "rgmkit degrade photo.png -d gaussian-noise:noise=0.1 -o noisy.png",
        "rgmkit degrade photo.jpg -d blur:kernel=motion,length=15,angle=30,noise=0.01 -o blurred.npy",
        "rgmkit degrade photo.png --plugin ops.py -d half -o half.tiff",
    ),
)
@click.argument("image", type=PATH)
@degradation_option
@click.option("-o", "--out", metavar="OUT", type=PATH, required=True, help=f"The measurement: {USUAL_ENDINGS}.")
@seed_option
@device_option
@common_options
def command(image: Path, degradation: str, out: Path, seed: int, device: str | None) -> None:
    """Degrade IMAGE and write the measurement y = A x + noise.

    The values of a measurement may lie outside [0, 1]. A picture of 8 or 16 bits clips them, and 8 bits
    round them, which a note says; .npy keeps them.
    """
    check_pictures(image, [out])
    check_names(degradation=degradation)
    import torch

    from rgmkit import images
    from rgmkit.core.random import Streams
    from rgmkit.resolve import resolve_degradation
    from rgmkit.runtime.device import choose_device

    place = choose_device(device)
    operator = resolve_degradation(degradation, simulate=True).to(place)
    picture = read_true_image(image, operator)
    with torch.no_grad():
        y = operator(picture.x.to(place), generator=Streams(seed, [0])).cpu()
    written = images.write_measurement(out, y, like=picture)
    for note in (*written.notes, *([f"{written.loss}; .npy keeps the measurement"] if written.loss else [])):
        say(f"note: {out}: {note}")
