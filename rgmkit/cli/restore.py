"""`rgmkit restore`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rgmkit.cli import options, values
from rgmkit.cli.checks import check_names, check_pictures, spare
from rgmkit.cli.degrade import read_true_image
from rgmkit.cli.options import PATH, echo, examples, print_json, say_notes
from rgmkit.errors import AccuracyWarning, PriorWarning
from rgmkit.images.formats import USUAL_ENDINGS

if TYPE_CHECKING:
    from torch import Tensor

    from rgmkit.core.metric import Metric
    from rgmkit.core.solver import Solution
    from rgmkit.images import Picture


@click.command(
    short_help="Restore a measurement.",
    epilog=examples(
        "rgmkit restore blurred.png -d blur:std=2,noise=0.02 --prior tv -o restored.png",
        "rgmkit restore small.npy -d downsample:factor=2 --prior digits -o large.png --truth digit.png --json",
        "rgmkit restore cells.tif -d gaussian-noise --noise poisson:photons=30 --prior photographs -o clean.tif",
        "rgmkit restore noisy.png -d gaussian-noise --prior runs/faces --samples 16 -o clean.png --trace",
        "rgmkit restore counts.tif -d blur:std=2 --range 0,4095 --prior tv -o restored.tif",
        "rgmkit restore stack.npy -d gaussian-noise --axes ZYX --range 0,100 --prior photographs -o clean.tif",
    ),
)
@click.argument("image", type=PATH)
@options.degradation
@options.noise
@click.option(
    "--prior",
    metavar="PRIOR",
    help="A prior (SPEC), a shipped model, a model folder, hf:user/repo on the Hugging Face hub, or a file of "
    "published weights such as dncnn_25.pth; models take :dtype=bf16 and :compile=true. "
    "[default: none, and the pseudo-inverse as the solver]",
)
@options.solver
@values.value_range
@values.axes
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
    help="Draw N restorations from the posterior: OUT is their mean, and OUT with -std before the ending their "
    "standard deviation.",
)
@click.option("--trace", is_flag=True, help="Print the residual, the change and the level of each step of the solver.")
@options.seed
@options.as_json
@options.device
@options.max_pixels
@options.common
def restore(
    image: Path,
    degradation: str,
    noise: str | None,
    prior: str | None,
    solver: str | None,
    value_range: tuple[float, float] | None,
    axes: str | None,
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

    If neither the degradation nor --noise gives the noise, it is estimated from each frame of IMAGE, and a note says
    how large it is, and whether it grows with the signal.
    Frames of a stack are restored one by one, and all bands of each. OUT has the range and the axes of IMAGE, and the
    true image is taken to have them, too; noise=… stays relative to the range: .02 is 2 % of it.
    Metrics are means over the frames; "before" are those of the measurement itself, enlarged if it is smaller than the
    image.
    """
    outputs = [out] if samples is None else [out, std_path(out)]
    check_pictures(image, outputs, truth=truth)
    check_names(degradation=degradation, noise=noise, prior=prior, solver=solver)
    for metric in metrics:
        check_names(metric=metric)
    import torch

    from rgmkit import images
    from rgmkit.adapters import relate_values, split_complex
    from rgmkit.inference import restore_batch
    from rgmkit.resolve import resolve_degradation, resolve_metrics, resolve_prior, resolve_solver
    from rgmkit.runtime.device import choose_device

    torch_device = choose_device(device)
    operator = resolve_degradation(degradation, noise=noise, folder=spare(outputs)).to(torch_device)
    built_prior = resolve_prior(prior).to(torch_device)
    built_solver = resolve_solver(solver, built_prior, operator, samples=samples)
    measures = resolve_metrics(metrics, has_truth=truth is not None)

    measured = images.read_measurement(image, axes=axes, range=value_range)
    with torch.no_grad():
        y, notes = relate_values(measured.x, operator, value_range, whole=measured.bits < 32, device=torch_device)
    y, operator, _ = split_complex(y, operator, torch_device)
    shape = tuple(operator.image_shape(tuple(y.shape)))
    images.check_storable(out, shape, what="image")
    true = read_true_image(truth, operator, shape=shape, axes=axes, value_range=value_range) if truth else None
    say_notes(measured.notes, image)
    if value_range is not None:  # a doubt about the range is shown as a warning
        say_notes(notes)

    with warnings.catch_warnings():
        for said in (AccuracyWarning, PriorWarning):  # the notes say the same
            warnings.simplefilter("ignore", said)
        solution = restore_batch(
            y, operator, built_prior, built_solver, seed=seed, samples=samples, tile=tile, device=torch_device
        )
    say_notes(solution.notes)

    facts: dict[str, Any] = {
        "image": image, "degradation": degradation, "prior": prior, "solver": solver, "seed": seed, "out": out,
        "nfe": solution.nfe, "seconds": round(solution.seconds, 3), "noise": solution.noise,
        "notes": list(notes + solution.notes),
    }  # fmt: skip
    if measures:
        with torch.no_grad():
            before = torch.cat([operator.embed(frame[None].to(torch_device)).cpu() for frame in y])
        facts |= compare(before, solution.x.cpu(), true.x if true else None, measures)
    facts |= write_restoration(out, solution, like=measured)
    if trace:
        facts["trace"] = solution.trace
    print_restoration(facts, measures, as_json=as_json)


def compare(before: Tensor, after: Tensor, truth: Tensor | None, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Apply the metrics to the images before and after restoration."""
    pair = {"before": before.clamp(0, 1), "after": after.clamp(0, 1)}
    return {
        label: {when: float(metric(x, truth).mean()) for when, x in pair.items()} for label, metric in metrics.items()
    }


def std_path(out: Path) -> Path:
    """Return the file for the standard deviation of the samples.

    >>> std_path(Path("new/x.png")).as_posix()
    'new/x-std.png'
    """
    return out.with_name(f"{out.stem}-std{out.suffix}")


def write_restoration(out: Path, solution: Solution, like: Picture) -> dict[str, Any]:
    """Write the restored image and, if there are samples, their standard deviation; return facts of the latter."""
    from rgmkit import images

    say_notes(images.write_measurement(out, solution.x.cpu(), like=like).notes, out)
    return {} if solution.std is None else {"std": _write_std(std_path(out), solution.std.cpu(), like)}


def _write_std(path: Path, std: Tensor, like: Picture) -> dict[str, Any]:
    """Write a standard deviation: as values if the format stores floats, else as grey from 0 (black) to the largest.

    It is in units of [0, 1] or, if given, of the range of the picture.
    """
    from rgmkit import images
    from rgmkit.images.formats import find_format

    low, high = like.range or (0.0, 1.0)
    largest, layout = float(std.max()), like.layout and like.layout.for_std(std.dtype)
    if find_format(path).stores_floats:
        images.write_measurement(path, std, like=replace(like, alpha=None, bits=32, layout=layout))
    else:
        images.write(path, images.Picture(std / largest if largest else std, bits=like.bits))
        say_notes([f"the standard deviation of the samples; black is 0, white {largest * (high - low):.3g}"], path)
    return {"file": path, "mean": float(std.mean()) * (high - low), "largest": largest * (high - low)}


def print_restoration(facts: dict[str, Any], metrics: Mapping[str, Metric], *, as_json: bool) -> None:
    """Print the facts of a restoration: one JSON object, or a line for each number and a table of the trace."""
    if as_json:
        print_json(facts)
        return
    for label, metric in metrics.items():
        before, after = (metric.info.format(facts[label][when]) for when in ("before", "after"))
        echo(f"{metric.name:8} {before} -> {after} {metric.unit}".rstrip())
    if "std" in facts:
        echo(f"{'std':8} {facts['std']['mean']:.4f} on average, {facts['std']['largest']:.4f} at most")
    echo(f"{'NFE':8} {facts['nfe']}")
    echo(f"{'seconds':8} {facts['seconds']:.2f}")
    if facts.get("trace"):
        echo(format_trace(facts["trace"]))


def format_trace(trace: list[dict[str, float]]) -> str:
    """Format a line for each step of a solver.

    >>> print(format_trace([{"level": 2, "residual": 0.05}, {"level": 1, "residual": 0.041, "change": 1e-5}]))
      step     level  residual    change
         1         2      0.05
         2         1     0.041     1e-05
    """
    names = list(dict.fromkeys(name for row in trace for name in row))
    rows = [["step", *names]]
    rows += [[str(k), *(f"{row[name]:.4g}" if name in row else "" for name in names)] for k, row in enumerate(trace, 1)]
    return "\n".join((f"{row[0]:>6}" + "".join(f"{cell:>10}" for cell in row[1:])).rstrip() for row in rows)
