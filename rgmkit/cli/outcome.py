"""What `rgmkit restore` prints and writes beside the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rgmkit.cli.common import print_json, say

if TYPE_CHECKING:
    from torch import Tensor

    from rgmkit.images import Picture


def figures(before: Tensor, after: Tensor, truth: Tensor) -> dict[str, Any]:
    """PSNR and SSIM before and after."""
    from rgmkit.config import metric

    pair = {"before": before.clamp(0, 1), "after": after.clamp(0, 1)}
    return {
        name: {when: round(float(metric(name)(x, truth)), 4) for when, x in pair.items()} for name in ("psnr", "ssim")
    }


def std_path(out: Path) -> Path:
    """Where the standard deviation of the samples goes.

    >>> std_path(Path("new/x.png")).as_posix()
    'new/x-std.png'
    """
    return out.with_name(f"{out.stem}-std{out.suffix}")


def write_std(out: Path, std: Tensor, like: Picture) -> dict[str, Any]:
    """Write the standard deviation beside the image; return the facts of it for the report.

    Formats that store floats hold its values; in the others black is 0 and white the largest value.
    """
    from rgmkit import images
    from rgmkit.images.formats import stores_floats

    path, largest = std_path(out), float(std.max())
    facts = {"file": path, "mean": float(std.mean()), "largest": largest}
    if not images.is_picture(std) or stores_floats(path):
        images.write_measurement(path, std, like=replace(like, alpha=None, bits=32))
        return facts
    images.write(path, replace(like, x=std / largest if largest else std, alpha=None))
    say(f"note: {path}: the standard deviation of the samples; black is 0, white {largest:.3g}")
    return facts


def report(facts: dict[str, Any], as_json: bool) -> None:
    """The facts on stdout: one JSON object, or a line for each figure and a table of the trace."""
    if as_json:
        print_json(facts)
        return
    for name, digits in (("psnr", 2), ("ssim", 3)):
        if name in facts:
            before, after = (f"{facts[name][when]:.{digits}f}" for when in ("before", "after"))
            unit = " dB" if name == "psnr" else ""
            click.echo(f"{name.upper():8} {before} -> {after}{unit}")
    if "std" in facts:
        click.echo(f"{'std':8} {facts['std']['mean']:.4f} on average, {facts['std']['largest']:.4f} at most")
    click.echo(f"{'NFE':8} {facts['nfe']}")
    click.echo(f"{'seconds':8} {facts['seconds']:.2f}")
    if facts.get("trace"):
        click.echo(trace_table(facts["trace"]))


def trace_table(trace: list[dict[str, float]]) -> str:
    """A line for each step of a solver.

    >>> print(trace_table([{"level": 2, "residual": 0.05}, {"level": 1, "residual": 0.041, "change": 1e-5}]))
      step     level  residual    change
         1         2      0.05
         2         1     0.041     1e-05
    """
    names = list(dict.fromkeys(name for row in trace for name in row))
    rows = [["step", *names]]
    rows += [[str(k), *(f"{row[name]:.4g}" if name in row else "" for name in names)] for k, row in enumerate(trace, 1)]
    return "\n".join((f"{row[0]:>6}" + "".join(f"{cell:>10}" for cell in row[1:])).rstrip() for row in rows)
