"""Plots of PSNR against time, as SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from rgmkit.experiments.report.axes import Axis
from rgmkit.experiments.report.curves import Curve, mean_curve
from rgmkit.experiments.report.grid import Grid
from rgmkit.experiments.report.statistics import before, duration

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 300, 34, 14, 26, 44
COLOURS, SHAPES = 6, 4  # colours are classes c0 … c5 of the style sheet
RADIUS = 5.0


def plot(grid: Grid, degradation: str) -> str:
    """The mean path of every method under one degradation; empty where no cell has a PSNR.

    Marks as in the table show where methods end; a dashed line is the measurement itself.
    """
    found = {i: mean_curve(grid.cells(degradation, method)) for i, method in enumerate(grid.methods)}
    curves = {i: curve for i, curve in found.items() if curve is not None}
    if not curves:
        return ""
    spread = before(grid, degradation).get("psnr")
    measured = spread.mean if spread is not None and math.isfinite(spread.mean) else None
    x, y = _axes(list(curves.values()), measured)
    parts = [_frame(x, y)]
    if measured is not None:
        parts.append(_level(x, y, measured))
    parts += [_line(i, curve, x, y) for i, curve in curves.items()]
    parts += [_end(grid.methods[i], i, curve, x, y) for i, curve in curves.items()]
    label = escape(f"PSNR against time: {degradation}")
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def key(index: int) -> str:
    """The line and mark of a method, for legends."""
    return (
        f'<svg class="key" viewBox="0 0 28 14" width="28" height="14" aria-hidden="true">'
        f'<path class="curve {_classes(index)}" d="M1 7H27"/>{_mark(index, 14, 7)}</svg>'
    )


def _axes(curves: Sequence[Curve], measured: float | None) -> tuple[Axis, Axis]:
    times = [float(t) for curve in curves for t in (curve.seconds[0], curve.seconds[-1])]
    ends = [float(curve.psnr[-1]) for curve in curves] + ([] if measured is None else [measured])
    values = [float(v) for curve in curves for v in curve.psnr] + ends
    room = max(max(ends) - min(ends), 2.0)
    low = max(min(values), min(ends) - room / 2)  # a path that begins far below is cut, not the others squeezed
    return (
        Axis(min(times) / 1.25, max(times) * 1.25, LEFT, WIDTH - RIGHT, log=True),
        Axis(low - 0.08 * room, max(values) + 0.08 * room, HEIGHT - BOTTOM, TOP),
    )


def _frame(x: Axis, y: Axis) -> str:
    rows = "".join(
        f'<path class="rule" d="M{LEFT} {y.place(v):.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y.place(v) + 4:.1f}" text-anchor="end">{v:g}</text>'
        for v in y.ticks()
    )
    columns = "".join(
        f'<path class="rule" d="M{x.place(v):.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
        f'<text class="tick" x="{x.place(v):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{v:g}</text>'
        for v in x.ticks()
    )
    middle = (LEFT + WIDTH - RIGHT) / 2
    return (
        f'{rows}{columns}<text class="tick" x="{middle}" y="{HEIGHT - 7}" text-anchor="middle">seconds</text>'
        f'<text class="tick" x="0" y="12">PSNR in dB</text>'
    )


def _level(x: Axis, y: Axis, measured: float) -> str:
    place = y.place(measured)
    above = place - 5 if place > TOP + 16 else place + 14
    return (
        f'<path class="level" d="M{x.start} {place:.1f}H{x.end}"/>'
        f'<text class="tick" x="{x.start + 4}" y="{above:.1f}">measurement</text>'
    )


def _line(index: int, curve: Curve, x: Axis, y: Axis) -> str:
    shown = [i for i, v in enumerate(curve.psnr) if v >= y.low]
    points = [f"{x.place(curve.seconds[i]):.1f} {y.place(curve.psnr[i]):.1f}" for i in range(shown[0], len(curve.psnr))]
    return f'<path class="curve {_classes(index)}" d="M{"L".join(points)}"/>'


def _end(method: str, index: int, curve: Curve, x: Axis, y: Axis) -> str:
    psnr, seconds = float(curve.psnr[-1]), float(curve.seconds[-1])
    title = escape(f"{method}: {psnr:.2f} dB after {duration(seconds)} s")
    return f"<g><title>{title}</title>{_mark(index, x.place(seconds), y.place(psnr))}</g>"


def _mark(index: int, x: float, y: float) -> str:
    """A disc, a square, a triangle or a diamond: methods differ without their colours, too."""
    r, classes = RADIUS, f'class="mark {_classes(index)}"'
    match index % SHAPES:
        case 0:
            return f'<circle {classes} cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
        case 1:
            outline = f"M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z"
        case 2:
            outline = f"M{x:.1f} {y - r - 1:.1f}l{r + 1} {2 * r}h{-2 * r - 2}z"
        case _:
            outline = f"M{x:.1f} {y - r - 1.5:.1f}l{r + 1.5} {r + 1.5}l{-r - 1.5} {r + 1.5}l{-r - 1.5} {-r - 1.5}z"
    return f'<path {classes} d="{outline}"/>'


def _classes(index: int) -> str:
    """The colour; from the seventh method on colours come again with dashes."""
    return f"c{index % COLOURS}" + (" dashed" if (index // COLOURS) % 2 else "")
