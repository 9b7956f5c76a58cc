"""Plots of a metric against time, drawn by Matplotlib as SVG that uses the colours of the page."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from rgmkit.core.metric import MetricInfo
from rgmkit.experiments.report.curves import Curve, mean_curve
from rgmkit.experiments.results import Results
from rgmkit.experiments.summary import summarize_measurements
from rgmkit.experiments.tables import format_seconds

INK, RULE, PAGE = "#000001", "#000002", "#000003"
COLOURS = ("#0072b2", "#d55e00", "#00805f", "#b04f94", "#8a7000", "#3d4247")
CLASSES = {colour: f"c{i}" for i, colour in enumerate(COLOURS)} | {INK: "ink", RULE: "rule", PAGE: "page"}
"""Class names of the colours in the style sheet, which replaces them in dark mode."""
MARKERS = ("o", "s", "^", "D")  # so that methods can be told apart without colour
STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": RULE,
    "xtick.color": INK, "ytick.color": INK, "grid.color": RULE, "axes.grid": True, "axes.spines.top": False,
    "axes.spines.right": False, "axes.axisbelow": True,
}  # fmt: skip


def plot_curves(results: Results, condition: str) -> Markup:
    """Plot the mean curve of every method under one condition; return an empty string if no value is finite.

    The markers, the same as in the table, show where the methods end; a dashed line shows the measurement.
    """
    found = {i: mean_curve(results.select(condition, method)) for i, method in enumerate(results.methods)}
    curves = {i: curve for i, curve in found.items() if curve is not None}
    if not curves:
        return Markup("")
    label = next(r.path_metric for r in results.select(condition) if r.path_metric in r.after)
    info, spread = results.metrics[label], summarize_measurements(results, condition).get(label)
    measured = spread.mean if spread is not None and math.isfinite(spread.mean) else None
    titles = {
        f"end-{i}": f"{results.methods[i]}: {info.format(float(curve.values[-1]))} {info.unit}".rstrip()
        + f" after {format_seconds(float(curve.seconds[-1]))} s"
        for i, curve in curves.items()
    }
    svg = _draw(curves, measured, info, salt=f"curves {results.conditions.index(condition)}")
    return _adapt(svg, f"{info.name} against time: {condition}", titles)


def method_classes(index: int) -> tuple[str, bool]:
    """Return the colour class of a method, and whether its line is dashed: from the seventh method on."""
    return f"c{index % len(COLOURS)}", bool((index // len(COLOURS)) % 2)


def _draw(curves: Mapping[int, Curve], measured: float | None, info: MetricInfo, *, salt: str) -> str:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    file = io.StringIO()
    style: Any = {**STYLE, "svg.hashsalt": salt}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(5.4, 3.1), layout="constrained")
        axes = figure.add_subplot(xscale="log", xlabel="seconds", ylabel=info.heading)
        if measured is not None:
            axes.axhline(measured, color=INK, linewidth=1, linestyle=(0, (2, 4)))
            axes.annotate("measurement", (0, measured), (4, 4), xycoords=("axes fraction", "data"),
                          textcoords="offset points")  # fmt: skip
        for i, curve in curves.items():
            colour, line = COLOURS[i % len(COLOURS)], "--" if method_classes(i)[1] else "-"
            axes.plot(curve.seconds, curve.values, line, color=colour)
            axes.plot(curve.seconds[-1], curve.values[-1], MARKERS[i % len(MARKERS)], color=colour, markersize=8,
                      markeredgecolor=PAGE, clip_on=False, gid=f"end-{i}")  # fmt: skip
        axes.xaxis.set_major_locator(_choose_ticks(*axes.get_xlim()))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.minorticks_off()
        axes.set_ylim(*_limits(curves, measured, info))
        figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    return file.getvalue()


def _choose_ticks(low: float, high: float) -> Any:
    """Choose the ticks of a logarithmic axis: a few, however many decades it spans."""
    from matplotlib.ticker import AutoLocator, LogLocator

    decades = math.log10(high / low)
    if decades < 0.7:
        return AutoLocator()
    return LogLocator(subs=(1, 2, 5) if decades < 1.5 else (1, 3) if decades < 3 else (1,))


def _limits(curves: Mapping[int, Curve], measured: float | None, info: MetricInfo) -> tuple[float, float]:
    """Choose limits that show all final values; a curve that starts far from them is cut off."""
    ends = [float(curve.values[-1]) for curve in curves.values()] + ([] if measured is None else [measured])
    values = [float(v) for curve in curves.values() for v in curve.values] + ends
    room = max(max(ends) - min(ends), 10.0**-info.decimals * 200)
    low, high = min(values), max(values)
    if info.higher_is_better:
        low = max(low, min(ends) - room / 2)
    else:
        high = min(high, max(ends) + room / 2)
    return low - 0.08 * room, high + 0.08 * room


def _adapt(svg: str, label: str, titles: Mapping[str, str]) -> Markup:
    """Prepare an SVG for the page: drop inline styles, which its policy forbids, and ids, which would clash."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r' style="([^"]*)"', lambda match: _to_attributes(match[1]), svg)
    for name, title in titles.items():
        svg = svg.replace(f'<g id="{name}">', f"<g><title>{escape(title)}</title>")
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None
    head = f'<svg class="plot" {view[0]} role="img" aria-label="{escape(label)}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return Markup(re.sub(r"^<svg[^>]*>", lambda _: head, svg))


def _to_attributes(style: str) -> str:
    """Convert an inline style to attributes, and its colours to classes of the style sheet.

    >>> _to_attributes("fill: none; stroke: #0072b2; stroke-width: 1.5")
    ' fill="none" stroke-width="1.5" class="stroke-c0"'
    """
    pairs = [tuple(map(str.strip, part.split(":", 1))) for part in style.split(";") if part.strip()]
    classes = [f"{name}-{CLASSES[value]}" for name, value in pairs if value in CLASSES]
    attributes = [f'{name}="{value}"' for name, value in pairs if value not in CLASSES and name != "font"]
    return "".join(f" {text}" for text in [*attributes, *([f'class="{" ".join(classes)}"'] if classes else [])])
