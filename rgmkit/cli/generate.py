"""`rgmkit generate`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rgmkit.cli.common import (
    PATH,
    common_options,
    device_option,
    examples,
    say,
    seed_option,
    solver_option,
)
from rgmkit.cli.files import check_output
from rgmkit.cli.names import check_names
from rgmkit.cli.stream import npz_stream
from rgmkit.errors import ConfigError
from rgmkit.runtime.files import write_aside
from rgmkit.runtime.progress import show_progress

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from rgmkit.core.prior import Prior
    from rgmkit.core.solver import Callback
    from rgmkit.runtime.processes import ProcessGroup

DEFAULT = Path("samples.png")


@click.command(
    "generate",
    short_help="Generate images with a trained network.",
    epilog=examples(
        "rgmkit generate digits",
        "rgmkit generate digits -n 1000 -o digits.npz --seed 1",
        "accelerate launch --num_processes 2 -m rgmkit generate digits -n 50000 -o digits.npz",
        "rgmkit generate runs/gmm -n 10000 -o points.png",
        "rgmkit generate runs/faces:dtype=bf16 -n 1000 -o faces.npz",
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
@click.option(
    "--batch", metavar="B", type=click.IntRange(min=1), help="Images at a time. [default: by the free memory]"
)
@device_option
@common_options
def command(
    model: str, count: int, asked: Path | None, seed: int, solver: str | None, batch: int | None, device: str | None
) -> None:
    """Generate N images, or points, with the trained network MODEL.

    MODEL is a shipped model or a model folder, optionally followed by :dtype=bf16 or :compile=true. The images depend
    on the seed only, not on the batch size. The points of a toy model are drawn as a scatter plot, or stored as
    `points`, float32 (N, 2), in an .npz file. Several processes, started by `accelerate launch` or `torchrun`, share
    the work: see docs/distributed.md.
    """
    if asked is None and DEFAULT.exists():
        raise ConfigError(f"{DEFAULT} is there already: name a file with -o")
    out = asked or DEFAULT
    check_output(out, (".png", ".npz"))
    check_names(prior=model, solver=solver)
    from rgmkit.resolve import resolve_prior
    from rgmkit.runtime.device import choose_device
    from rgmkit.runtime.processes import ProcessGroup

    processes = ProcessGroup.join(choose_device(device))
    prior = resolve_prior(model).to(processes.device)
    points = len(getattr(prior, "image_shape", None) or (0, 0, 0)) == 1
    with show_progress("generating") as callback:
        parts = _generate_parts(prior, count, processes, batch, callback, solver=solver, seed=seed)
        arrays = (_to_rows(part, points=points) for part in parts)
        (_write_npz if out.suffix.lower() == ".npz" else _draw)(arrays, out, count, points=points, processes=processes)
    if asked is None and processes.is_main:
        say(f"written: {out}")


def _generate_parts(
    prior: Prior, count: int, processes: ProcessGroup, batch: int | None, callback: Callback, **options: Any
) -> Iterator[Tensor]:
    """Generate all images in order, batch by batch; several processes take turns, and the main one gets all."""
    from rgmkit.inference import generate_batches
    from rgmkit.solvers.sampling import choose_batch_size

    if processes.size == 1:
        yield from generate_batches(prior, count, batch=batch, callback=callback, **options)
        return
    size = batch or choose_batch_size(getattr(prior, "image_shape", None) or (1, 1, 1), prior.device)
    for first in range(0, count, size * processes.size):
        start = first + processes.rank * size
        mine = generate_batches(prior, max(0, min(size, count - start)), start=start, batch=size, **options)
        for made in processes.gather([part.cpu() for part in mine]):
            for part in made:
                yield part
                callback(min(count, first + size * processes.size), count, part)


def _to_rows(part: Tensor, *, points: bool) -> np.ndarray:
    """Convert images to uint8 (n, H, W, C), points to float32 (n, 2)."""
    import torch

    from rgmkit.images.array_layout import quantise

    rows = part.float() if points else quantise(part, torch.uint8).movedim(1, -1)
    return rows.cpu().contiguous().numpy()


def _write_npz(parts: Iterator[np.ndarray], out: Path, count: int, *, points: bool, processes: ProcessGroup) -> None:
    """Write an .npz file part by part, so that the memory does not grow with the number of images."""
    if not processes.is_main:
        deque(parts, maxlen=0)  # the main process writes them
        return
    with npz_stream(out, "points" if points else "images", count) as stream:
        for part in parts:
            stream.write(part)


def _draw(parts: Iterator[np.ndarray], out: Path, count: int, *, points: bool, processes: ProcessGroup) -> None:
    """Draw one picture of all of them."""
    import numpy as np

    whole = list(parts)
    if processes.is_main:
        (_draw_points if points else _draw_sheet)(np.concatenate(whole), out)


def _draw_sheet(images: np.ndarray, out: Path) -> None:
    import torch

    from rgmkit.images import make_sheet, write

    tensor = torch.from_numpy(images).movedim(-1, 1)
    write(out, make_sheet(tensor / 255, enlarge=max(1, 64 // max(tensor.shape[-2:]))))


def _draw_points(points: np.ndarray, out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(aspect="equal", title=f"{len(points)} points")
    axes.scatter(points[:, 0], points[:, 1], s=4, linewidths=0, alpha=0.6)
    with write_aside(out) as part:
        figure.savefig(part, format="png", dpi=120, metadata={"Software": None})
