"""`rgmkit generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rgmkit.cli.common import (
    PATH,
    choose_device,
    common_options,
    device_option,
    examples,
    progress,
    say,
    seed_option,
    solver_option,
)
from rgmkit.cli.files import check_output, npz, write_bytes
from rgmkit.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT = Path("samples.png")


@click.command(
    "generate",
    short_help="Generate images with a trained network.",
    epilog=examples(
        "rgmkit generate digits",
        "rgmkit generate digits -n 1000 -o digits.npz --seed 1",
        "rgmkit generate runs/gmm -n 10000 -o points.png",
    ),
)
@click.argument("model")
@click.option("-n", "count", metavar="N", type=click.IntRange(min=1), default=100, show_default=True, help="How many.")
@click.option(
    "-o",
    "--out",
    "asked",
    metavar="FILE",
    type=PATH,
    help=f"A sheet, .png, or uint8 images (N, H, W, C), .npz. [default: {DEFAULT}, if it is not there yet]",
)
@seed_option
@solver_option
@click.option("--batch", metavar="B", type=click.IntRange(min=1), help="Images at a time. [default: as memory allows]")
@device_option
@common_options
def command(
    model: str, count: int, asked: Path | None, seed: int, solver: str | None, batch: int | None, device: str | None
) -> None:
    """Generate N images, or points, with the trained network MODEL: a shipped model or a model folder.

    The images depend on the seed only, not on how many are made at a time. Points of a toy model are drawn
    as a scatter plot, or stored as `points`, float32 (N, 2), in an .npz file.
    """
    if asked is None and DEFAULT.exists():
        raise ConfigError(f"{DEFAULT} is there already: name a file with -o")
    out = asked or DEFAULT
    check_output(out, (".png", ".npz"))
    import torch

    from rgmkit.inference import as_prior, generate_batches
    from rgmkit.layout import quantised

    prior = as_prior(model).to(choose_device(device))
    points = len(getattr(prior, "image_shape", None) or (0, 0, 0)) == 1
    with progress("generating", "step") as callback:
        batches = generate_batches(prior, count, solver=solver, seed=seed, batch=batch, callback=callback)
        samples = torch.cat([(part.float() if points else quantised(part, torch.uint8)).cpu() for part in batches])
    (_write_points if points else _write_images)(samples, out)
    if asked is None:
        say(f"written: {out}")


def _write_images(images: Tensor, out: Path) -> None:
    from rgmkit.images import grid, write

    if out.suffix.lower() == ".npz":
        write_bytes(out, npz(images=images.movedim(1, -1).contiguous().numpy()))
        return
    write(out, grid(images / 255, enlarge=max(1, 64 // max(images.shape[-2:]))))


def _write_points(points: Tensor, out: Path) -> None:
    if out.suffix.lower() == ".npz":
        write_bytes(out, npz(points=points.numpy()))
        return
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(aspect="equal", title=f"{len(points)} points")
    axes.scatter(points[:, 0].numpy(), points[:, 1].numpy(), s=4, linewidths=0, alpha=0.6)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    write_bytes(out, buffer.getvalue())
