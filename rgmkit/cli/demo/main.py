"""Run the demonstration: restore digits, generate digits, write the page."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TextIO

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rgmkit.cli.demo.figures import draw_digits, draw_restorations
from rgmkit.cli.demo.tasks import TASKS, Row, solve_task
from rgmkit.core.prior import RestoringPrior
from rgmkit.inference import generate
from rgmkit.models.folder import load
from rgmkit.runtime.files import write_file
from rgmkit.training.data.digits import Digits

MODEL, SEED, GENERATED = "digits", 0, 100


def run(out: Path, *, console: TextIO | None = None, digits: int | None = None) -> list[Row]:
    """Restore and generate digits; write PNG figures and `index.html` into `out`.

    Args:
        out: an existing folder or a new one.
        console: where the table is printed; stdout by default.
        digits: number of held-out digits to restore; all 297 by default.
    """
    console, start = console or sys.stdout, time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    network, truth = load(MODEL), Digits(split="held-out").images[:digits]
    head = f"PSNR in dB, mean of {len(truth)} digits"
    print(f"{head:<40}{'before':>8}{'TV':>8}{'network':>9}{'NFE':>5}{'seconds':>9}", file=console, flush=True)
    rows = []
    for number, task in enumerate(TASKS, start=1):
        row = solve_task(task, network, truth, seed=SEED)
        numbers = f"{row.before:>8.2f}{row.tv:>8.2f}{row.network:>9.2f}{row.nfe:>5}{row.seconds:>9.2f}"
        print(f"{task.title:<40}{numbers}", file=console, flush=True)
        draw_restorations(out / f"restore-{number}.png", row)
        rows.append(row)
    seconds, levels = _generate_digits(out, network), network.process.levels
    print(f"\n{GENERATED} new digits in {seconds:.2f} s, {levels} network evaluations each.", file=console)
    _write_page(out / "index.html", rows, generated=GENERATED, seconds=seconds, evaluations=levels)
    print(f"{time.perf_counter() - start:.0f} s in all. Open {out / 'index.html'}", file=console)
    return rows


def _generate_digits(out: Path, network: RestoringPrior) -> float:
    """Generate digits and draw them; return the seconds of the generation."""
    start = time.perf_counter()
    new = generate(network, GENERATED, seed=SEED)
    seconds = time.perf_counter() - start
    draw_digits(out / "generated.png", new, Digits().images, network.process.levels)
    return seconds


def _write_page(path: Path, rows: list[Row], *, generated: int, seconds: float, evaluations: int) -> None:
    """Write one HTML file beside the figures; it loads nothing else."""
    folder = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=folder, autoescape=True, undefined=StrictUndefined).get_template("page.html")
    restored = len(rows[0].stages[0])
    page = template.render(rows=rows, restored=restored, generated=generated, seconds=seconds, evaluations=evaluations)
    write_file(path, page)
