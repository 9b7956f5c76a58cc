"""The results in print: results.csv with a row for each cell, results.md with a table for each degradation."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from rgmkit.experiments.folder import facts
from rgmkit.experiments.methods import tuned_text
from rgmkit.experiments.report.grid import Grid
from rgmkit.experiments.report.statistics import Line, Spread, before, best, duration, heading, lines, spell
from rgmkit.experiments.result import Record
from rgmkit.experiments.tuning import Log
from rgmkit.runtime.files import write_aside

CSV, MARKDOWN = "results.csv", "results.md"
Row = list[str]
LEGEND = (
    "Mean ± standard deviation (of the population) over images and seeds; n: cells with an answer; NFE: network "
    "evaluations; seconds: median of the solver's; MiB: highest peak of memory. Bold: the best mean. The first row "
    "is the measurement itself, brought to the size of the image."
)


def write_tables(folder: Path, records: Sequence[Record], *, title: str) -> None:
    """Write results.csv and results.md into the folder of a run."""
    grid = Grid(list(records))
    with write_aside(folder / CSV) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(_cells(grid))
    with write_aside(folder / MARKDOWN) as part:
        part.write_text("\n".join(_page(folder, grid, title)) + "\n", encoding="utf-8")


def text(records: Sequence[Record]) -> str:
    """The tables of all degradations in columns, for a terminal.

    >>> print(text([Record("a", "cat", "blur", "tv", 0, before={"psnr": 20.0}, after={"psnr": 25.5}, seconds=2)]))
    blur
      method       PSNR (dB)  n  NFE  seconds  MiB
      measurement  20.00      1
      tv           25.50*     1  0    2        0
    """
    grid = Grid(list(records))
    return "\n".join(line for name in grid.degradations for line in _columns(name, _table(grid, name, "{}*")))


def _columns(name: str, rows: list[Row]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield name
    for row in rows:
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()


def _cells(grid: Grid) -> Iterator[Row]:
    figures = [column for name in grid.figures for column in (f"{name}_before", name)]
    yield ["image", "degradation", "method", "seed", *figures, "nfe", "seconds", "memory_mb", "error"]
    for r in grid.records:
        both = [f"{found[name]:.6g}" if name in found else "" for name in grid.figures for found in (r.before, r.after)]
        costs = [str(r.nfe), f"{r.seconds:.4g}", f"{r.memory_mb:.1f}"] if r.error is None else [""] * 3
        error = r.gap if not r.fits else r.error or ""
        yield [r.image, r.degradation, r.method, str(r.seed), *both, *costs, error]


def _page(folder: Path, grid: Grid, title: str) -> Iterator[str]:
    total = facts(folder).cells
    counts = (f"{len(labels)} {noun}" for labels, noun in _parts(grid))
    missing = total - len(grid.records)
    yield from [
        f"# {title}",
        "",
        f"{', '.join(counts)}.{f' {missing} of {total} cells are not done.' if missing else ''}",
    ]
    for degradation in grid.degradations:
        yield from ["", f"## {degradation}", "", *_markdown(_table(grid, degradation, "**{}**"))]
        yield from _failures(grid, degradation)
    yield from ["", LEGEND]
    yield from _tuned(folder)


def _parts(grid: Grid) -> list[tuple[Sequence[object], str]]:
    parts: list[tuple[Sequence[object], str]] = [
        (grid.images, "images"),
        (grid.degradations, "degradations"),
        (grid.methods, "methods"),
        (grid.seeds, "seeds"),
    ]
    return [(labels, noun if len(labels) != 1 else noun[:-1]) for labels, noun in parts]


def _table(grid: Grid, degradation: str, mark: str) -> list[Row]:
    """A row for the measurement and one for each method; the best figures go into `mark`."""
    found, measured = lines(grid, degradation), before(grid, degradation)
    tops = {name: best(found, name) for name in grid.figures}
    n = max((spread.count for spread in measured.values()), default=0)
    first = ["measurement", *(_spread(name, measured.get(name)) for name in grid.figures), str(n), "", "", ""]
    rows = [
        [
            line.label,
            *(_marked(name, line, tops[name], mark) for name in grid.figures),
            str(line.done),
            *([f"{line.nfe:.4g}", duration(line.seconds), f"{line.memory_mb:.0f}"] if line.done else [""] * 3),
        ]
        if not line.gap
        else [line.label, "does not fit", *[""] * (len(grid.figures) + 3)]
        for line in found
    ]
    return [["method", *map(heading, grid.figures), "n", "NFE", "seconds", "MiB"], first, *rows]


def _marked(name: str, line: Line, top: float | None, mark: str) -> str:
    spread = line.figures.get(name)
    shown = _spread(name, spread)
    return mark.format(shown) if spread and top is not None and spell(name, spread.mean) == spell(name, top) else shown


def _spread(name: str, spread: Spread | None) -> str:
    if spread is None:
        return "–"
    return spell(name, spread.mean) + (f" ± {spell(name, spread.std)}" if spread.count > 1 else "")


def _markdown(rows: list[Row]) -> Iterator[str]:
    head, *rest = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rest:
        yield f"| {' | '.join(row)} |"


def _failures(grid: Grid, degradation: str) -> Iterator[str]:
    for line in lines(grid, degradation):
        failed = [r for r in grid.cells(degradation, line.label) if r.failed]
        if line.gap:
            yield from ["", f"{line.label} {line.gap}"]
        if failed:
            yield from [
                "",
                f"{line.label}: {len(failed)} of {line.cells} cells failed, the first with: {failed[0].error}",
            ]


def _tuned(folder: Path) -> Iterator[str]:
    """The chosen values, the figures that they reached on the training images, and which lie at an end."""
    logged, ends = Log(folder), facts(folder).ends
    pairs = dict.fromkeys((row.degradation, row.method) for row in logged.rows)
    if not pairs:
        return
    metric = logged.rows[0].metric
    rows = [["degradation", "method", "chosen", f"{heading(metric)} on training images", "evaluations", "note"]]
    for degradation, method in pairs:
        count, chosen = len(logged.of(degradation, method)), logged.best(degradation, method)
        if chosen is None:
            rows.append([degradation, method, "–", "–", str(count), logged.of(degradation, method)[0].error])
            continue
        values = chosen.read()
        bounds = [name for name, value in values.items() if value in ends.get(method, {}).get(name, [])]
        note = f"{', '.join(bounds)} at an end of the range: widen it" if bounds else ""
        rows.append([degradation, method, tuned_text(values), spell(metric, chosen.figure), str(count), note])
    yield from ["", "## Tuned on training images", "", *_markdown(rows)]
