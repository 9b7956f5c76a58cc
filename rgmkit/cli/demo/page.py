"""The page that shows the demonstration."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from rgmkit.runtime.files import write_aside

if TYPE_CHECKING:
    from rgmkit.cli.demo.main import Row

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .8rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr + tr { border-top: 1px solid #ddd }
img { max-width: 100%; height: auto; display: block; margin: 1rem 0 2.5rem; border-radius: 4px; background: #fff }
.best { font-weight: 700 } .wide { overflow-x: auto } code { font-size: .9em }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd } tr + tr { border-color: #444 } }
"""


def write_page(path: Path, rows: list[Row], *, restored: int, generated: int, seconds: float, evaluations: int) -> None:
    """One HTML file beside the figures; it loads nothing else."""
    pictures = "\n".join(_picture(f"restore-{i + 1}.png", row.task.title) for i, row in enumerate(rows))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>rgmkit: one network restores and generates</title><style>{STYLE}</style></head><body>
<h1>One network restores and generates</h1>
<p>The same trained network undoes three degradations of {restored} handwritten digits that it has never seen,
and generates new ones. Beside it stands total variation, with the weight that is best on training digits.</p>
<h2>Restored</h2>
<p>PSNR in dB, mean of the {restored} digits: higher is better. Evaluations are of the network, per digit; seconds
are those of the network for all digits.</p>
<div class="wide"><table>
<tr><th>task</th><th>measured</th><th>total variation</th><th>network</th><th>evaluations</th><th>seconds</th></tr>
{"".join(_row(row) for row in rows)}</table></div>
{pictures}
<h2>Generated</h2>
<p>{generated} new digits from noise, in {evaluations} network evaluations each and {seconds:.2f} s in all.</p>
{_picture("generated.png", "Generated digits")}
<p>On the command line:</p>
<pre><code>rgmkit generate digits -n {generated} -o new.png
rgmkit degrade photo.png -d blur:std=2,noise=0.02 -o blurred.png
rgmkit restore blurred.png -d blur:std=2,noise=0.02 --prior tv -o restored.png --truth photo.png</code></pre>
</body></html>
"""
    with write_aside(path) as part:
        part.write_text(page, encoding="utf-8")


def _row(row: Row) -> str:
    best = max(row.tv, row.network)
    cells = "".join(f"<td{' class=best' * (value == best)}>{value:.2f}</td>" for value in (row.tv, row.network))
    return (
        f"<tr><td>{escape(row.task.title)}</td><td>{row.before:.2f}</td>{cells}"
        f"<td>{row.nfe}</td><td>{row.seconds:.2f}</td></tr>\n"
    )


def _picture(file: str, title: str) -> str:
    return f'<img src="{escape(file)}" alt="{escape(title)}">'
