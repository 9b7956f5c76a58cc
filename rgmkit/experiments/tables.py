"""The tables of a run: results.csv with one row per cell, results.md with one table per degradation."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rgmkit.core.metric import MetricInfo
from rgmkit.experiments.methods import format_values
from rgmkit.experiments.results import Results
from rgmkit.experiments.summary import MethodSummary, Spread, find_best, summarize_measurements, summarize_methods
from rgmkit.runtime.files import write_aside

CSV, MARKDOWN = "results.csv", "results.md"
COSTS = ("NFE", "seconds", "MiB", "cells")
LEGEND = (
    "Mean ± standard deviation (of the population) over images and seeds; NFE: network evaluations; seconds: median "
    "time of the solver; MiB: highest peak memory; cells: number of finished cells. Bold: the best mean among the "
    "methods with the most finished cells. The first row is the measurement itself, resampled to the size of the image."
)


@dataclass(frozen=True)
class Value:
    """A mean in a table, with its standard deviation, and whether it is the best of its column."""

    mean: str
    std: str = ""
    best: bool = False

    def mark(self, pattern: str) -> str:
        """Format mean and deviation; the best one is put into a pattern such as "**{}**"."""
        text = f"{self.mean} ± {self.std}" if self.std else self.mean
        return pattern.format(text) if self.best else text


@dataclass(frozen=True)
class TableRow:
    """A row of a table: the measurement, or a method.

    Attributes:
        method: the position of the method in the run; None for the measurement.
        values: one for each column; None where there is none.
        costs: see `COSTS`; empty where there are none.
        gap: the text in place of the values, if the method does not fit the degradation.
        incomplete: whether some of its cells are missing or failed.
    """

    label: str
    method: int | None
    values: Sequence[Value | None]
    costs: Sequence[str] = ()
    gap: str = ""
    incomplete: bool = False


def make_rows(results: Results, degradation: str) -> list[TableRow]:
    """Make a row for the measurement and one for each method under a degradation."""
    summaries, before = summarize_methods(results, degradation), summarize_measurements(results, degradation)
    metrics = results.metrics
    best = {label: find_best(summaries, label, info) for label, info in metrics.items()}
    rows = [TableRow("measurement", None, [make_value(info, before.get(label)) for label, info in metrics.items()])]
    for summary in summaries:
        values = [make_value(info, summary.spreads.get(label), best[label]) for label, info in metrics.items()]
        method, short = results.methods.index(summary.label), summary.done < summary.cells
        rows.append(TableRow(summary.label, method, values, _format_costs(summary), summary.gap, short))
    return rows


def make_overview(results: Results) -> list[TableRow]:
    """Make a table of the first metric: a row for the measurement and each method, a column for each degradation."""
    if not results.metrics:
        return []
    label, info = next(iter(results.metrics.items()))
    measured, columns = [], []
    for degradation in results.degradations:
        summaries = summarize_methods(results, degradation)
        best = find_best(summaries, label, info)
        measured.append(make_value(info, summarize_measurements(results, degradation).get(label)))
        columns.append({s.label: make_value(info, s.spreads.get(label), best) for s in summaries})
    rows = [TableRow(name, i, [column.get(name) for column in columns]) for i, name in enumerate(results.methods)]
    return [TableRow("measurement", None, measured), *rows]


def make_value(info: MetricInfo, spread: Spread | None, best: float | None = None) -> Value | None:
    """Format a mean and its deviation, if any; the mean is marked as best if it prints like the best one."""
    if spread is None:
        return None
    mean = info.format(spread.mean)
    std = info.format(spread.std) if spread.count > 1 and math.isfinite(spread.std) else ""
    return Value(mean, std, best is not None and mean == info.format(best))


def format_seconds(seconds: float) -> str:
    """Format seconds to three significant digits.

    >>> format_seconds(0.01234), format_seconds(1234.5)
    ('0.0123', '1234')
    """
    return f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.3g}"


def write_tables(results: Results) -> None:
    """Write results.csv and results.md into the folder of the run."""
    with write_aside(results.folder / CSV) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(_list_cells(results))
    with write_aside(results.folder / MARKDOWN) as part:
        part.write_text("\n".join(_write_markdown(results)) + "\n", encoding="utf-8")


def format_tables(results: Results) -> str:
    """Format the tables of all degradations in columns, for a terminal.

    >>> from pathlib import Path
    >>> from rgmkit.experiments.result import Record
    >>> record = Record("a", "cat", "blur", "tv", 0, before={"psnr": 20.0}, after={"psnr": 25.5}, seconds=2)
    >>> print(format_tables(Results(Path(), [record])))
    blur
      method       PSNR (dB)  NFE  seconds  MiB  cells
      measurement  20.00
      tv           25.50*     0    2        0    1
    """
    return "\n".join(line for name in results.degradations for line in _align(name, _table(results, name, "{}*")))


def _align(name: str, rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield name
    for row in rows:
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()


def _list_cells(results: Results) -> Iterator[list[str]]:
    labels = list(results.metrics)
    columns = [column for label in labels for column in (f"{label}_before", label)]
    yield ["image", "degradation", "method", "seed", *columns, "nfe", "seconds", "memory_mb", "error"]
    for r in results.records:
        both = [f"{values[label]:.6g}" if label in values else "" for label in labels for values in (r.before, r.after)]
        costs = [str(r.nfe), f"{r.seconds:.4g}", f"{r.memory_mb:.1f}"] if r.error is None else [""] * 3
        error = r.gap if not r.fits else r.error or ""
        yield [r.image, r.degradation, r.method, str(r.seed), *both, *costs, error]


def _write_markdown(results: Results) -> Iterator[str]:
    missing = results.cells - len(results.records)
    left = f" {missing} of {results.cells} cells are not done." if missing else ""
    yield from [f"# {results.title}", "", f"{', '.join(count_parts(results))}.{left}"]
    for degradation in results.degradations:
        yield from ["", f"## {degradation}", "", *_format_markdown(_table(results, degradation, "**{}**"))]
        yield from _list_failures(results, degradation)
    yield from ["", LEGEND]
    if results.tuned:
        yield from ["", "## Tuned on training images", "", *_format_markdown(list_tuned(results))]


def count_parts(results: Results) -> list[str]:
    """Say how many images, degradations, methods and seeds there are."""
    nouns = ("image", "degradation", "method", "seed")
    return [count(len(getattr(results, f"{noun}s")), noun) for noun in nouns]


def count(number: int, noun: str) -> str:
    """Format a number with its noun.

    >>> count(1, "cell"), count(2, "cell")
    ('1 cell', '2 cells')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def _table(results: Results, degradation: str, mark: str) -> list[list[str]]:
    head = ["method", *(info.heading for info in results.metrics.values()), *COSTS]
    rows = []
    for row in make_rows(results, degradation):
        values = ["–" if value is None else value.mark(mark) for value in row.values]
        cells = ["does not fit"] if row.gap else [*values, *row.costs]
        rows.append([row.label, *cells, *[""] * (len(head) - 1 - len(cells))])
    return [head, *rows]


def _format_costs(summary: MethodSummary) -> list[str]:
    done = str(summary.cells) if summary.done == summary.cells else f"{summary.done} of {summary.cells}"
    if not summary.done:
        return ["–", "–", "–", done]
    return [f"{summary.nfe:.4g}", format_seconds(summary.seconds), f"{summary.memory_mb:.0f}", done]


def _format_markdown(rows: list[list[str]]) -> Iterator[str]:
    head, *rest = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rest:
        yield f"| {' | '.join(row)} |"


def _list_failures(results: Results, degradation: str) -> Iterator[str]:
    for summary in summarize_methods(results, degradation):
        failed = [r for r in results.select(degradation, summary.label) if r.failed]
        if summary.gap:
            yield from ["", f"{summary.label} {summary.gap}"]
        if failed:
            first = f"{len(failed)} of {summary.cells} cells failed, the first with: {failed[0].error}"
            yield from ["", f"{summary.label}: {first}"]


def list_tuned(results: Results) -> list[list[str]]:
    """Make a table of the chosen values, the metric they reach on the training images, and notes on ends of ranges."""
    if not results.tuned:
        return []
    reached = f"{results.tuned[0].info.heading} on training images"
    rows = [["degradation", "method", "chosen", reached, "evaluations", "note"]]
    for tuned in results.tuned:
        reached = "–" if tuned.best is None else tuned.info.format(tuned.best.value)
        note = f"{', '.join(tuned.at_end)} at an end of the range: widen it" if tuned.at_end else ""
        if tuned.best is None:
            note = tuned.trials[0].error
        chosen = format_values(tuned.values) or "–"
        rows.append([tuned.degradation, tuned.method, chosen, reached, str(len(tuned.trials)), note])
    return rows
