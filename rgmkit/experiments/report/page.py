"""The page: data and drawings made here, its look and its behaviour in the files beside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from rgmkit.experiments.report.album import BUDGET, uri
from rgmkit.experiments.report.gallery import Gallery, gallery
from rgmkit.experiments.report.grid import Grid
from rgmkit.experiments.report.pictures import error_map
from rgmkit.experiments.report.plots import plot
from rgmkit.experiments.report.tables import failures, overview, summary
from rgmkit.experiments.result import Record
from rgmkit.runtime.files import write_aside

NOTHING = '<p class="note">No cell of this grid has an answer: there is nothing to compare.</p>'


def write_report(folder: Path, records: Sequence[Record], *, title: str, budget: int = BUDGET) -> Path:
    """Write `folder/report.html`, one file that shows the records of a run and loads nothing else.

    It has a table and a plot of PSNR against time for each degradation, the errors of failed cells, and
    a gallery of the pictures with their error maps. Photographs are put in as they are where all fit into
    `budget` bytes, or else as WebP, and of the first images only if that is too much, which the page says.

    Args:
        folder: of the run; the files that `Record.pictures` names are relative to it.
        records: in the order of their labels in tables; failed cells and lost pictures are shown as such.
        title: of the page.
        budget: bytes that the pictures may take.

    >>> import tempfile
    >>> record = Record("a", "cat", "blur", "tv", 0, error="out of memory")
    >>> page = write_report(Path(tempfile.mkdtemp()), [record], title="A <first> run").read_text("utf-8")
    >>> "A &lt;first&gt; run" in page, "out of memory" in page
    (True, True)
    """
    path, grid = Path(folder) / "report.html", Grid(list(records))
    pictures = gallery(grid, Path(folder), budget)
    style, script, page = (_file(name) for name in ("report.css", "report.js", "report.html"))
    content = Template(page).substitute(
        title=escape(title),
        counts=_counts(grid),
        policy=f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        summary=_summary(grid),
        links='<a href="#failures">Failed cells</a>' if grid.failed else "",
        failures=_failures(grid),
        notes="".join(f'<p class="note">{note}</p>' for note in _notes(pictures)),
        data=script_json(_data(grid, pictures)),
        pictures="\n".join(
            f'<script type="text/plain" id="picture-{i}">{uri}</script>' for i, uri in enumerate(pictures.uris)
        ),
    )
    with write_aside(path) as part:
        part.write_text(content, encoding="utf-8", errors="replace", newline="\n")  # names of files may hold any byte
    return path


def script_json(value: Any) -> str:
    """JSON that ends no script element, whatever its strings hold.

    >>> script_json("</script>")
    '"\\\\u003c/script>"'
    """
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """What a content security policy calls this text, so that no other is run or applied."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _counts(grid: Grid) -> str:
    counts = {
        "image": len(grid.images),
        "degradation": len(grid.degradations),
        "method": len(grid.methods),
        "seed": len(grid.seeds),
    }
    parts = [_count(number, noun) for noun, number in counts.items()]
    done = f"{_count(len(grid.records), 'cell')}, {len(grid.failed)} of them failed"
    return f"{' · '.join(parts)} · {done if grid.failed else _count(len(grid.records), 'cell')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _summary(grid: Grid) -> str:
    if all(record.error is not None for record in grid.records):
        return NOTHING
    parts = [overview(grid)] if len(grid.degradations) > 1 and "psnr" in grid.figures else []
    for degradation in grid.degradations:
        both = summary(grid, degradation) + plot(grid, degradation)
        parts.append(f'<article><h3>{escape(degradation)}</h3><div class="pair">{both}</div></article>')
    return "\n".join(parts)


def _failures(grid: Grid) -> str:
    if not grid.failed:
        return ""
    head = f"{_count(len(grid.failed), 'cell')} of {len(grid.records)} failed"
    return f'<section id="failures"><h2>{head}</h2>{failures(grid)}</section>'


def _notes(pictures: Gallery) -> list[str]:
    notes = []
    if not pictures.exact:
        notes.append(
            "To keep this page small, photographs are shown as WebP of high quality; the exact ones lie in the "
            "folder <code>pictures</code> beside it. Error maps and figures are of the exact ones."
        )
    if pictures.left_out:
        shown = len(pictures.rows) - pictures.left_out
        notes.append(
            f"Pictures of the first {shown} of {len(pictures.rows)} rows are shown here; those of the other "
            f"{pictures.left_out} lie in the folder <code>pictures</code>."
        )
    return notes


def _data(grid: Grid, pictures: Gallery) -> dict[str, Any]:
    return {
        "degradations": grid.degradations,
        "images": grid.images,
        "seeds": [str(seed) for seed in grid.seeds],
        "rows": pictures.rows,
        "ramp": uri("png", error_map(np.linspace(0, 1, 256)[None])),
    }
