"""What commands print on stdout, and what `rgmkit restore` writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rgmkit.cli.options import say

if TYPE_CHECKING:
    from torch import Tensor

    from rgmkit.core.metric import Metric
    from rgmkit.core.solver import Solution
    from rgmkit.images import Picture


def print_json(facts: dict[str, Any]) -> None:
    """Print one JSON object; numbers that JSON lacks, such as the infinite PSNR of equal images, become null."""
    click.echo(json.dumps(_finite(facts), indent=2, default=str, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def compare(before: Tensor, after: Tensor, truth: Tensor | None, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Apply the metrics before and after."""
    pair = {"before": before.clamp(0, 1), "after": after.clamp(0, 1)}
    return {
        label: {when: round(float(metric(x, truth)), 4) for when, x in pair.items()}
        for label, metric in metrics.items()
    }


def std_path(out: Path) -> Path:
    """Return the file for the standard deviation of the samples.

    >>> std_path(Path("new/x.png")).as_posix()
    'new/x-std.png'
    """
    return out.with_name(f"{out.stem}-std{out.suffix}")


def write_restoration(out: Path, solution: Solution, like: Picture) -> dict[str, Any]:
    """Write the image, and beside it the standard deviation of the samples if there is one; return facts of that."""
    from rgmkit import images

    for note in images.write_measurement(out, solution.x.cpu(), like=like).notes:
        say(f"note: {out}: {note}")
    return {} if solution.std is None else {"std": _write_std(std_path(out), solution.std.cpu(), like)}


def _write_std(path: Path, std: Tensor, like: Picture) -> dict[str, Any]:
    """Write a standard deviation: its values if the format stores floats, else from black, 0, to white, the largest."""
    from rgmkit import images
    from rgmkit.images.formats import find_format

    largest = float(std.max())
    if not images.is_picture(std) or find_format(path).stores_floats:
        images.write_measurement(path, std, like=replace(like, alpha=None, bits=32))
    else:
        images.write(path, replace(like, x=std / largest if largest else std, alpha=None))
        say(f"note: {path}: the standard deviation of the samples; black is 0, white {largest:.3g}")
    return {"file": path, "mean": float(std.mean()), "largest": largest}


def print_restoration(facts: dict[str, Any], metrics: Mapping[str, Metric], *, as_json: bool) -> None:
    """Print the facts of a restoration: one JSON object, or a line for each number and a table of the trace."""
    if as_json:
        print_json(facts)
        return
    for label, metric in metrics.items():
        before, after = (metric.info.format(facts[label][when]) for when in ("before", "after"))
        click.echo(f"{metric.name:8} {before} -> {after} {metric.unit}".rstrip())
    if "std" in facts:
        click.echo(f"{'std':8} {facts['std']['mean']:.4f} on average, {facts['std']['largest']:.4f} at most")
    click.echo(f"{'NFE':8} {facts['nfe']}")
    click.echo(f"{'seconds':8} {facts['seconds']:.2f}")
    if facts.get("trace"):
        click.echo(format_trace(facts["trace"]))


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
