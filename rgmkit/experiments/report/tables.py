"""The tables of the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from rgmkit.experiments.report.grid import Grid
from rgmkit.experiments.report.plots import key
from rgmkit.experiments.report.statistics import Line, Spread, before, best, duration, heading, lines, spell

ABSENT = '<td class="absent">–</td>'


def overview(grid: Grid) -> str:
    """Mean PSNR of each method under each degradation."""
    measured = [before(grid, degradation).get("psnr") for degradation in grid.degradations]
    rows = [_tr("measurement", [_mean(spread, None) for spread in measured], "measured")]
    columns = [lines(grid, degradation) for degradation in grid.degradations]
    tops = [best(column, "psnr") for column in columns]
    for i, method in enumerate(grid.methods):
        found = [{line.label: line.figures.get("psnr") for line in column}.get(method) for column in columns]
        means = [_mean(spread, top) for spread, top in zip(found, tops, strict=True)]
        rows.append(_tr(f"{key(i)}{escape(method)}", means))
    heads = ["mean PSNR (dB)", *(escape(degradation) for degradation in grid.degradations)]
    return _table("Mean PSNR by method and degradation", heads, rows)


def summary(grid: Grid, degradation: str) -> str:
    """Every method under one degradation: figures, cost, and how many cells are done."""
    found, names = lines(grid, degradation), grid.figures
    measured = before(grid, degradation)
    rows = [_tr("measurement", [_spread(name, measured.get(name), None) for name in names] + [ABSENT] * 4, "measured")]
    tops = {name: best(found, name) for name in names}
    for line in found:
        label = f"{key(grid.methods.index(line.label))}{escape(line.label)}"
        figures = [_spread(name, line.figures.get(name), tops[name]) for name in names]
        gap = [f'<td class="absent gap" colspan="{len(names) + 4}">{escape(line.gap)}</td>']
        rows.append(_tr(label, gap if line.gap else figures + _costs(line)))
    heads = ["method", *(escape(heading(name)) for name in names), "NFE", "seconds", "MiB", "cells"]
    return _table(f"Methods under {degradation}", heads, rows)


def failures(grid: Grid) -> str:
    """The failed cells and their errors."""
    rows = [
        _tr(
            escape(record.method),
            [f"<td>{escape(text)}</td>" for text in (record.degradation, record.image, str(record.seed))]
            + [f'<td class="error">{escape(str(record.error))}</td>'],
        )
        for record in grid.failed
    ]
    return _table("Failed cells", ["method", "degradation", "image", "seed", "error"], rows, "texts")


def _costs(line: Line) -> list[str]:
    if not line.done:
        return [ABSENT] * 3 + [_cells(line)]
    return [
        f"<td>{line.nfe:.4g}</td>",
        f"<td>{duration(line.seconds)}</td>",
        f"<td>{line.memory_mb:.0f}</td>",
        _cells(line),
    ]


def _cells(line: Line) -> str:
    if line.done == line.cells:
        return f"<td>{line.cells}</td>"
    return f'<td class="short">{line.done} of {line.cells}</td>'


def _spread(name: str, spread: Spread | None, top: float | None) -> str:
    if spread is None:
        return ABSENT
    known = spread.count > 1 and math.isfinite(spread.std)
    std = f' <span class="std">± {spell(name, spread.std)}</span>' if known else ""
    return f"<td>{_marked(name, spread, top)}{std}</td>"


def _mean(spread: Spread | None, top: float | None) -> str:
    return ABSENT if spread is None else f"<td>{_marked('psnr', spread, top)}</td>"


def _marked(name: str, spread: Spread, top: float | None) -> str:
    """The mean, bold if it is the best one as far as print can tell."""
    text = spell(name, spread.mean)
    return f"<b>{text}</b>" if top is not None and text == spell(name, top) else text


def _tr(label: str, cells: Iterable[str], kind: str = "") -> str:
    opening = f'<tr class="{kind}">' if kind else "<tr>"
    return f'{opening}<th scope="row">{label}</th>{"".join(cells)}</tr>'


def _table(caption: str, heads: Sequence[str], rows: Sequence[str], kind: str = "") -> str:
    """A table that scrolls by itself where the page is narrow, by keyboard, too."""
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    label = escape(caption)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{label}"><table class="{kind}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
