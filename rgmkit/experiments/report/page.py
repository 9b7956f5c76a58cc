"""Write the report: one self-contained HTML file with tables, plots and pictures."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from rgmkit.experiments.methods import format_values
from rgmkit.experiments.report.album import BUDGET, to_uri
from rgmkit.experiments.report.gallery import Gallery, make_gallery
from rgmkit.experiments.report.pictures import draw_error_map
from rgmkit.experiments.report.plots import MARKERS, method_classes, plot_curves
from rgmkit.experiments.results import Results
from rgmkit.experiments.tables import COSTS, count, count_parts, list_sources, list_tuned, make_overview, make_rows
from rgmkit.runtime.files import write_aside


def write_report(results: Results, *, budget: int = BUDGET) -> Path:
    """Write the self-contained report.html into the folder of a run.

    It has a table and a plot of a metric against time for each degradation, the tuned values, the errors of failed
    cells, and a gallery of the pictures with their error maps. Photographs are embedded losslessly if all fit into
    `budget` bytes, else as WebP; if even that is too much, only the first images are shown, and the page says so.

    >>> import tempfile
    >>> from rgmkit.experiments.result import Record
    >>> record = Record("a", "cat", "blur", "tv", 0, error="out of memory")
    >>> page = write_report(Results(Path(tempfile.mkdtemp()), [record], title="A <first> run")).read_text("utf-8")
    >>> "A &lt;first&gt; run" in page, "out of memory" in page
    (True, True)
    """
    path, gallery = Path(results.folder) / "report.html", make_gallery(results, budget)
    style, script = (Markup((files(__package__) / name).read_text("utf-8")) for name in ("report.css", "report.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; "
        "form-action 'none'"
    )
    page = _load_template().render(
        results=results,
        overview=make_overview(results),
        tuned=zip(list_tuned(results), [None, *results.tuned], strict=False),
        gallery=gallery,
        data=Markup(to_script(_collect_data(results, gallery))),
        style=style,
        script=script,
        policy=Markup(policy),
    )
    with write_aside(path) as part:
        part.write_text(page, encoding="utf-8", errors="replace", newline="\n")  # file names may contain any byte
    return path


def _load_template() -> Template:
    environment = Environment(loader=PackageLoader(__package__, ""), autoescape=True, undefined=StrictUndefined)
    environment.globals.update(
        count=count,
        count_parts=count_parts,
        format_values=format_values,
        list_sources=list_sources,
        make_rows=make_rows,
        plot_curves=plot_curves,
        classes=method_classes,
        costs=COSTS,
        markers=MARKERS,
    )
    return environment.get_template("report.html")


def to_script(value: Any) -> str:
    """Format a value as JSON that cannot close the script element it is in, whatever its strings contain.

    >>> to_script("</script>")
    '"\\\\u003c/script>"'
    """
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _hash(text: str) -> str:
    """Return the hash of a script or style for a content security policy, which then permits no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _collect_data(results: Results, gallery: Gallery) -> dict[str, Any]:
    return {
        "degradations": results.conditions,
        "images": results.images,
        "seeds": [str(seed) for seed in results.seeds],
        "rows": gallery.rows,
        "ramp": to_uri("png", draw_error_map(np.linspace(0, 1, 256)[None])),
    }
