"""`rgmkit degrade`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rgmkit.cli import options
from rgmkit.cli.checks import check_names, check_pictures
from rgmkit.cli.options import PATH, examples, say_notes
from rgmkit.errors import IncompatibleError
from rgmkit.images.formats import USUAL_ENDINGS

if TYPE_CHECKING:
    from rgmkit.core.degradation import Degradation
    from rgmkit.images import Picture


@click.command(
    short_help="Degrade an image and write the measurement.",
    epilog=examples(
        "rgmkit degrade photo.png -d gaussian-noise:noise=0.1 -o noisy.png",
        "rgmkit degrade photo.jpg -d blur:kernel=motion,length=15,angle=30,noise=0.01 -o blurred.npy",
        "rgmkit degrade photo.png --plugin ops.py -d half -o half.tiff",
    ),
)
@click.argument("image", type=PATH)
@options.degradation
@options.out("OUT", f"The measurement: {USUAL_ENDINGS}.", required=True)
@options.seed
@options.device
@options.common
def degrade(image: Path, degradation: str, out: Path, seed: int, device: str | None) -> None:
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

    torch_device = choose_device(device)
    operator = resolve_degradation(degradation, simulate=True).to(torch_device)
    picture = read_true_image(image, operator)
    with torch.no_grad():
        y = operator(picture.x.to(torch_device), generator=Streams(seed, [0])).cpu()
    written = images.write_measurement(out, y, like=picture)
    say_notes([*written.notes, *([f"{written.loss}; .npy keeps the measurement"] if written.loss else [])], out)


def read_true_image(path: Path, degradation: Degradation, *, shape: tuple[int, ...] | None = None) -> Picture:
    """Read an image, crop it to a size that the degradation accepts, and print notes about it.

    Raises:
        DataError: if it cannot be read.
        IncompatibleError: if its shape is not `shape`, that of the image that was measured.
    """
    from rgmkit import images
    from rgmkit.resolve import usable_size

    picture = images.read(path)
    height, width = picture.x.shape[-2:]
    new = usable_size(degradation, tuple(picture.x.shape))
    if new != (height, width):
        note = f"cropped from {height}x{width} to {new[0]}x{new[1]}, a size that {degradation.title} can take"
        picture = replace(picture.crop(*new), notes=(*picture.notes, note))
    if shape is not None and tuple(picture.x.shape) != shape:
        raise IncompatibleError(
            f"--truth {path} has shape {tuple(picture.x.shape)}, and the measurement is of an image of shape "
            f"{shape}: give the image that was measured"
        )
    say_notes(picture.notes, path)
    return picture
