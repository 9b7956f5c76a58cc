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
from rgmkit.cli.files import check_apart, cropped
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

    A measurement has values outside [0, 1]. A picture of 8 or 16 bits clips them, and 8 bits
    round them, which is said; .npy keeps them.
    """
    import torch

    from rgmkit import images
    from rgmkit.core.random import Streams
    from rgmkit.resolve import resolve_degradation
    from rgmkit.runtime.device import choose_device

    images.check_target(out)
    check_apart(out, image)
    operator = resolve_degradation(degradation, simulate=True)
    picture, note = cropped(images.read(image), operator)
    for line in (*picture.notes, *([note] if note else [])):
        say(f"note: {image}: {line}")
    where = choose_device(device)
    with torch.no_grad():
        y = operator.to(where)(picture.x.to(where), generator=Streams(seed, [0])).cpu()
    written = images.write_measurement(out, y, like=picture)
    for line in (*written.notes, *([f"{written.loss}; .npy keeps the measurement"] if written.loss else [])):
        say(f"note: {out}: {line}")
