"""Run the demonstration: restore digits, generate digits, write the page."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TextIO

from torch import Tensor

from rgmkit.cli.demo.figures import draw_digits, draw_restorations
from rgmkit.cli.demo.page import write_page
from rgmkit.cli.demo.tasks import TASKS, Row, solve_task
from rgmkit.core.prior import RestoringPrior
from rgmkit.inference import generate
from rgmkit.models.folder import load
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
    rows = _restore_digits(out, network, truth, console)
    seconds, levels = _generate_digits(out, network), network.process.levels
    print(f"\n{GENERATED} new digits in {seconds:.2f} s, {levels} network evaluations each.", file=console)
    write_page(out / "index.html", rows, generated=GENERATED, seconds=seconds, evaluations=levels)
    print(f"{time.perf_counter() - start:.0f} s in all. Open {out / 'index.html'}", file=console)
    return rows


def _restore_digits(out: Path, network: RestoringPrior, truth: Tensor, console: TextIO) -> list[Row]:
    """Solve every task; print a line and draw a figure for each."""
    print(format_header(len(truth)), file=console, flush=True)
    rows = []
    for number, task in enumerate(TASKS, start=1):
        row = solve_task(task, network, truth, seed=SEED)
        print(format_row(row), file=console, flush=True)
        draw_restorations(out / f"restore-{number}.png", row)
        rows.append(row)
    return rows


def _generate_digits(out: Path, network: RestoringPrior) -> float:
    """Generate digits and draw them; return the seconds of the generation."""
    start = time.perf_counter()
    new = generate(network, GENERATED, seed=SEED)
    seconds = time.perf_counter() - start
    draw_digits(out / "generated.png", new, Digits().images, network.process.levels)
    return seconds


def format_header(count: int) -> str:
    """Return the head of the printed table."""
    return f"{f'PSNR in dB, mean of {count} digits':<40}{'before':>8}{'TV':>8}{'network':>9}{'NFE':>5}{'seconds':>9}"


def format_row(row: Row) -> str:
    """Return a row of the printed table."""
    return f"{row.task.title:<40}{row.before:>8.2f}{row.tv:>8.2f}{row.network:>9.2f}{row.nfe:>5}{row.seconds:>9.2f}"
