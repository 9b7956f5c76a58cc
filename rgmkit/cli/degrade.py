"""`rgmkit degrade`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rgmkit.cli import options, values
from rgmkit.cli.checks import check_names, check_pictures, spare
from rgmkit.cli.options import PATH, examples, say_notes
from rgmkit.errors import IncompatibleError
from rgmkit.images.formats import USUAL_ENDINGS

if TYPE_CHECKING:
    from rgmkit.core.degradation import Degradation
    from rgmkit.images import Picture

EIGHT_BITS = 255  # the largest value of 8 bits


@click.command(
    short_help="Degrade an image and write the measurement.",
    epilog=examples(
        "rgmkit degrade photo.png -d gaussian-noise:noise=0.1 -o noisy.png",
        "rgmkit degrade photo.jpg -d blur:kernel=motion,length=15,angle=30,noise=0.01 -o blurred.npy",
        "rgmkit degrade photo.png --plugin ops.py -d half -o half.tiff",
        "rgmkit degrade stack.tif -d blur:std=2,noise=0.02 --axes ZYX --range 0,4095 -o blurred.tif",
    ),
)
@click.argument("image", type=PATH)
@options.degradation
@options.noise
@values.value_range
@values.axes
@options.out("OUT", f"The measurement: {USUAL_ENDINGS}.", required=True)
@options.seed
@options.device
@options.max_pixels
@options.common
def degrade(
    image: Path,
    degradation: str,
    noise: str | None,
    value_range: tuple[float, float] | None,
    axes: str | None,
    out: Path,
    seed: int,
    device: str | None,
) -> None:
    """Degrade IMAGE and write the measurement y = A x + noise.

    The values of a measurement may lie outside [0, 1]. A picture of 8 or 16 bits clips them, and 8 bits
    round them, which a note says; .npy keeps them. Each frame of a stack is measured on its own.
    """
    check_pictures(image, [out])
    check_names(degradation=degradation, noise=noise)
    import torch

    from rgmkit import images
    from rgmkit.adapters import black_level, note_noise
    from rgmkit.core.random import Streams
    from rgmkit.resolve import resolve_degradation
    from rgmkit.runtime.device import choose_device

    torch_device = choose_device(device)
    operator = resolve_degradation(degradation, noise=noise, simulate=True, folder=spare([out])).to(torch_device)
    say_notes(note_noise(operator, value_range) if value_range else ())
    picture = read_true_image(image, operator, axes=axes, value_range=value_range)
    with torch.no_grad():
        frames = [frame[None].to(torch_device) for frame in picture.x]
        y = torch.cat([operator(x, generator=Streams(seed, [i])).cpu() for i, x in enumerate(frames)])
        if value_range is not None:
            y = y - black_level(y[:1].to(torch_device), value_range, operator).cpu()
    written = images.write_measurement(out, y, like=picture)
    say_notes([*written.notes, *([f"{written.loss}; .npy keeps the measurement"] if written.loss else [])], out)


def read_true_image(
    path: Path,
    degradation: Degradation,
    *,
    shape: tuple[int, ...] | None = None,
    axes: str | None = None,
    value_range: tuple[float, float] | None = None,
) -> Picture:
    """Read an image, crop it to a size that the degradation accepts, and print notes about it.

    Raises:
        DataError: if it cannot be read.
        IncompatibleError: if its shape is not `shape`, that of the image that was measured.
    """
    from rgmkit import images
    from rgmkit.resolve import usable_size

    picture = images.read(path, axes=axes, range=value_range)
    if shape is not None and value_range is not None and picture.bits == 8 and value_range[1] > EIGHT_BITS:
        note = "a true image of 8 bits: its values are taken from 0 to 255, and not in --range"
        picture = replace(images.read(path, axes=axes), notes=(note,))
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
