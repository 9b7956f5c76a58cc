"""The tables of a run: results.csv with a row per cell, results.md and results.json with a table per degradation."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rgmkit.core.metric import MetricInfo
from rgmkit.experiments.methods import format_values
from rgmkit.experiments.results import Results
from rgmkit.experiments.serialize import quote_formula
from rgmkit.experiments.summary import MethodSummary, Spread, find_best, summarize_measurements, summarize_methods
from rgmkit.runtime.files import write_aside

CSV, MARKDOWN, JSON = "results.csv", "results.md", "results.json"
MARKS = {"best": "**{}**", "published": "*{}*"}
COSTS = ("NFE", "seconds", "MiB", "cells")
LEGEND = (
    "Mean ± standard deviation (of the population) over images and seeds; NFE: network evaluations; seconds: median "
    "time of the solver; MiB: highest peak memory; cells: number of finished cells. Bold: the best measured mean "
    "among the methods with the most finished cells. The first row is the measurement itself, resampled to the size "
    "of the image."
)


@dataclass(frozen=True)
class Value:
    """A mean in a table, with its standard deviation, and whether it is the best of those measured in its column."""

    mean: str
    std: str = ""
    best: bool = False

    def mark(self, pattern: str) -> str:
        """Format mean and deviation; the best one is put into a pattern such as "**{}**"."""
        text = f"{self.mean} ± {self.std}" if self.std else self.mean
        return pattern.format(text) if self.best else text


@dataclass(frozen=True)
class TableRow:
    """A row of a table: the measurement, a method, or published results.

    Attributes:
        method: the position of the method in the run; None for the measurement and published results.
        values: one for each column; None where there is none.
        costs: see `COSTS`; empty where there are none.
        gap: the text in place of the values, if the method does not fit the degradation.
        incomplete: whether some of its cells are missing or failed.
        source: the number of the source of published results, see `list_sources`; None for what was measured.
    """

    label: str
    method: int | None
    values: Sequence[Value | None]
    costs: Sequence[str] = ()
    gap: str = ""
    incomplete: bool = False
    source: int | None = None


def make_rows(results: Results, condition: str) -> list[TableRow]:
    """Make a row for the measurement, one for each method under a condition, and those of published results."""
    summaries, before = summarize_methods(results, condition), summarize_measurements(results, condition)
    metrics = results.metrics
    best = {label: find_best(summaries, label, info) for label, info in metrics.items()}
    rows = [TableRow("measurement", None, [make_value(info, before.get(label)) for label, info in metrics.items()])]
    for summary in summaries:
        values = [make_value(info, summary.spreads.get(label), best[label]) for label, info in metrics.items()]
        method, short = results.methods.index(summary.label), summary.done < summary.cells
        rows.append(TableRow(summary.label, method, values, _format_costs(summary), summary.gap, short))
    return [*rows, *_make_published(results, [(condition, label, info) for label, info in metrics.items()])]


def make_overview(results: Results) -> list[TableRow]:
    """Make a table of the first metric, with the rows of `make_rows` and a column for each condition."""
    if not results.metrics:
        return []
    label, info = next(iter(results.metrics.items()))
    measured, columns = [], []
    for condition in results.conditions:
        summaries = summarize_methods(results, condition)
        best = find_best(summaries, label, info)
        measured.append(make_value(info, summarize_measurements(results, condition).get(label)))
        columns.append({s.label: make_value(info, s.spreads.get(label), best) for s in summaries})
    rows = [TableRow(name, i, [column.get(name) for column in columns]) for i, name in enumerate(results.methods)]
    published = _make_published(results, [(condition, label, info) for condition in results.conditions])
    return [TableRow("measurement", None, measured), *rows, *published]


def _make_published(results: Results, columns: Sequence[tuple[str, str, MetricInfo]]) -> Iterator[TableRow]:
    """Make rows of the published results that have a value in a column (condition, label of a metric, its info)."""
    for row in results.published:
        found = [(info, row.values.get((condition, label))) for condition, label, info in columns]
        values = [None if value is None else Value(info.format(value)) for info, value in found]
        if any(value is not None for value in values):
            yield TableRow(row.method, None, values, source=_list_all_sources(results).index(row.source) + 1)


def list_sources(results: Results, rows: Sequence[TableRow]) -> list[str]:
    """List the sources of the published results among these rows.

    >>> from pathlib import Path
    >>> from rgmkit.experiments.published import Published
    >>> results = Results(Path(), (), published=[Published("A", "B, 2020", {("blur", "psnr"): 30.0})])
    >>> list_sources(results, [TableRow("A", None, [Value("30.00")], source=1)])
    ['[1] B, 2020']
    """
    sources = _list_all_sources(results)
    return [f"[{number}] {sources[number - 1]}" for number in sorted({row.source for row in rows if row.source})]


def _list_all_sources(results: Results) -> list[str]:
    return list(dict.fromkeys(row.source for row in results.published))


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
    """Write results.csv, results.md and results.json into the folder of the run."""
    with write_aside(results.folder / CSV) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(map(quote_formula, row) for row in _list_cells(results))
    with write_aside(results.folder / MARKDOWN) as part:
        part.write_text("\n".join(_write_markdown(results)) + "\n", encoding="utf-8")
    with write_aside(results.folder / JSON) as part:
        part.write_text(json.dumps(_collect(results), indent=1, allow_nan=False) + "\n", encoding="utf-8")


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
    return "\n".join(line for name in results.conditions for line in _align(name, _table(results, name)))


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


def _collect(results: Results) -> dict[str, Any]:
    """Collect the tables as plain values: means, and the published results beside them."""
    measured: list[dict[str, Any]] = []
    for condition in results.conditions:
        before = summarize_measurements(results, condition)
        measured.append({"condition": condition, "method": "measurement", "metrics": _collect_spreads(before)})
        for summary in summarize_methods(results, condition):
            rest = asdict(summary)
            del rest["spreads"]
            named = {"condition": condition, "method": rest.pop("label")}
            measured.append({**named, "metrics": _collect_spreads(summary.spreads), **rest})
    return {
        "title": results.title,
        "images": results.images,
        "seeds": results.seeds,
        "measured": measured,
        "published": [
            {"condition": condition, "method": row.method, "metric": label, "value": value, "source": row.source}
            for row in results.published
            for (condition, label), value in row.values.items()
        ],
    }


def _collect_spreads(spreads: Mapping[str, Spread]) -> dict[str, Any]:
    """Collect means and deviations as values that JSON knows: None in place of infinity."""
    return {
        label: {name: value if math.isfinite(value) else None for name, value in asdict(spread).items()}
        for label, spread in spreads.items()
    }


def _write_markdown(results: Results) -> Iterator[str]:
    missing = results.cells - len(results.records)
    left = f" {missing} of {results.cells} cells are not done." if missing else ""
    yield from [f"# {results.title}", "", f"{', '.join(count_parts(results))}.{left}"]
    if len(results.conditions) > 1 and results.metrics:
        info, rows = next(iter(results.metrics.values())), make_overview(results)
        table = [["method", *results.conditions], *(_format_row(row, **MARKS) for row in rows)]
        yield from ["", f"## Mean {info.heading}", "", *_format_markdown(table), *_write_sources(results, rows)]
    for condition in results.conditions:
        yield from ["", f"## {condition}", "", *_format_markdown(_table(results, condition, **MARKS))]
        yield from _write_sources(results, make_rows(results, condition))
        yield from _list_failures(results, condition)
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


def _table(results: Results, condition: str, *, best: str = "{}*", published: str = "{}") -> list[list[str]]:
    head = ["method", *(info.heading for info in results.metrics.values()), *COSTS]
    rows = [_format_row(row, best=best, published=published) for row in make_rows(results, condition)]
    return [head, *([*row, *[""] * (len(head) - len(row))] for row in rows)]


def _format_row(row: TableRow, *, best: str, published: str) -> list[str]:
    """Format the label and the cells of a row; `best` and `published` are patterns such as "**{}**"."""
    if row.source:
        shown = [published.format(value.mean) if value else "–" for value in row.values]
        return [f"{published.format(row.label)}, published [{row.source}]", *shown]
    values = ["–" if value is None else value.mark(best) for value in row.values]
    return [row.label, *(["does not fit"] if row.gap else [*values, *row.costs])]


def _write_sources(results: Results, rows: Sequence[TableRow]) -> Iterator[str]:
    sources = list_sources(results, rows)
    if sources:
        yield from ["", f"Published, not measured here: {'; '.join(sources)}."]


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


def _list_failures(results: Results, condition: str) -> Iterator[str]:
    for summary in summarize_methods(results, condition):
        failed = [r for r in results.select(condition, summary.label) if r.failed]
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
