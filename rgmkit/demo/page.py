"""The page that shows the demonstration."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from rgmkit.files import written_aside

if TYPE_CHECKING:
    from rgmkit.demo.main import Row

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .8rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr + tr { border-top: 1px solid #ddd }
img { max-width: 100%; display: block; margin: 1rem 0 2.5rem } .best { font-weight: 700 }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd } tr + tr { border-color: #444 } }
"""


def write_page(path: Path, rows: list[Row], *, generated: int, seconds: float, nfe: int) -> None:
    """One HTML file beside the figures; it loads nothing else."""
    pictures = "\n".join(_picture(f"restore-{i + 1}.png", row.task.title) for i, row in enumerate(rows))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>rgmkit: one network restores and generates</title><style>{STYLE}</style></head><body>
<h1>One network restores and generates</h1>
<p>The same trained network undoes three degradations of 297 digits that it has never seen, beside total
variation (tv) with a weight tuned on the training digits. PSNR in dB, mean over the digits.</p>
<table><tr><th>task</th><th>before</th><th>tv</th><th>network</th><th>evaluations</th><th>seconds</th></tr>
{"".join(_row(row) for row in rows)}</table>
{pictures}
<h2>{generated} new digits</h2>
<p>From noise, in {nfe} network evaluations each, {seconds:.2f} s in all.</p>
{_picture("generated.png", "Generated digits")}
</body></html>
"""
    with written_aside(path) as part:
        part.write_text(page, encoding="utf-8")


def _row(row: Row) -> str:
    best = max(row.tv, row.network)
    cells = [f'<td class="{"best" if value == best else ""}">{value:.2f}</td>' for value in (row.tv, row.network)]
    return (
        f"<tr><td>{escape(row.task.title)}</td><td>{row.before:.2f}</td>{''.join(cells)}"
        f"<td>{row.nfe}</td><td>{row.seconds:.2f}</td></tr>"
    )


def _picture(file: str, title: str) -> str:
    return f'<img src="{escape(file)}" alt="{escape(title)}">'
