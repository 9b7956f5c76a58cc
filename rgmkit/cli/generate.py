"""`rgmkit generate`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import click

from rgmkit.cli import options
from rgmkit.cli.checks import check_names, check_output
from rgmkit.cli.options import PATH, examples, say
from rgmkit.errors import ConfigError
from rgmkit.runtime.files import write_aside
from rgmkit.runtime.progress import show_progress
from rgmkit.runtime.signals import unwind_on_sigterm

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from rgmkit.core.prior import Prior
    from rgmkit.core.solver import Callback
    from rgmkit.runtime.processes import ProcessGroup

DEFAULT = Path("samples.png")


@click.command(
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
@click.option(
    "-n", "count", metavar="N", type=click.IntRange(min=1), default=100, show_default=True, help="Number of images."
)
@click.option(
    "-o",
    "--out",
    "asked",
    metavar="FILE",
    type=PATH,
    help=f"A sheet, .png, or uint8 images (N, H, W, C), .npz. [default: {DEFAULT}, if it does not exist yet]",
)
@options.seed
@options.solver
@click.option(
    "--batch", metavar="B", type=click.IntRange(min=1), help="Images per batch. [default: as the free memory allows]"
)
@options.device
@options.common
def generate(
    model: str, count: int, asked: Path | None, seed: int, solver: str | None, batch: int | None, device: str | None
) -> None:
    """Generate N images, or points, with the trained network MODEL.

    MODEL is a shipped model, a model folder, or hf:user/repo on the Hugging Face hub, optionally followed by
    :dtype=bf16 or :compile=true. The images depend on the seed only; another batch size changes the rounding of floats,
    and so a few values by one of 255 levels. The points of a toy model are drawn as a scatter plot, or stored as
    `points`, float32 (N, 2), in an .npz file. Several processes, started by `accelerate launch` or `torchrun`, share
    the work: see docs/distributed.md.
    """
    if asked is None and os.path.exists(DEFAULT):
        raise ConfigError(f"{DEFAULT} already exists: name a file with -o")
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
        rows = (_to_rows(part, points=points) for part in parts)
        if not processes.is_main:
            deque(rows, maxlen=0)  # the main process writes them
        elif out.suffix.lower() == ".npz":
            write_npz(out, "points" if points else "images", count, rows)
        else:
            (_draw_points if points else _draw_sheet)(out, rows)
    if asked is None and processes.is_main:
        say(f"written: {out}")


def _generate_parts(
    prior: Prior, count: int, processes: ProcessGroup, batch: int | None, callback: Callback, **options: Any
) -> Iterator[Tensor]:
    """Generate all images in order, batch by batch; several processes share them, and the main one gets all."""
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


def write_npz(path: Path, name: str, count: int, parts: Iterable[np.ndarray]) -> None:
    """Write an array of `count` rows to an .npz file part by part, so that memory does not grow with the array.

    Raises:
        DataError: if the file cannot be written.

    >>> import tempfile, numpy as np
    >>> file = Path(tempfile.mkdtemp()) / "a.npz"
    >>> write_npz(file, "images", 5, (np.zeros((3, 2)), np.ones((2, 2))))
    >>> np.load(file)["images"].sum(1)
    array([0., 0., 0., 2., 2.])
    """
    import numpy as np

    with (
        unwind_on_sigterm(),
        write_aside(path) as aside,
        ZipFile(aside, "w") as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as file,
    ):
        for i, rows in enumerate(parts):
            if i == 0:
                kind = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False}
                np.lib.format.write_array_header_1_0(file, {**kind, "shape": (count, *rows.shape[1:])})
            file.write(rows.tobytes())


def _draw_sheet(out: Path, parts: Iterable[np.ndarray]) -> None:
    import numpy as np
    import torch

    from rgmkit.images import make_sheet, write

    images = torch.from_numpy(np.concatenate(list(parts))).movedim(-1, 1)
    write(out, make_sheet(images / 255, enlarge=max(1, 64 // max(images.shape[-2:]))))


def _draw_points(out: Path, parts: Iterable[np.ndarray]) -> None:
    import numpy as np
    from matplotlib.figure import Figure

    x, y = np.concatenate(list(parts)).T
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(aspect="equal", title=f"{len(x)} points")
    axes.scatter(x, y, s=4, linewidths=0, alpha=0.6)
    with write_aside(out) as part:
        figure.savefig(part, format="png", dpi=120, metadata={"Software": None})
