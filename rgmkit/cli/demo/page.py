"""Write the page of the demonstration."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rgmkit.cli.demo.tasks import Row
from rgmkit.runtime.files import write_aside


def write_page(path: Path, rows: list[Row], *, generated: int, seconds: float, evaluations: int) -> None:
    """Write one HTML file beside the figures; it loads nothing else."""
    folder = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=folder, autoescape=True, undefined=StrictUndefined).get_template("page.html")
    restored = len(rows[0].stages[0])
    page = template.render(rows=rows, restored=restored, generated=generated, seconds=seconds, evaluations=evaluations)
    with write_aside(path) as part:
        part.write_text(page, encoding="utf-8")
