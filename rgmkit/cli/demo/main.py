"""Run the demonstration: restore a photograph and digits, generate digits, draw them, write the page."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure  # without pyplot: no window system, no global state
from torch import Tensor

from rgmkit.cli.demo.photograph import DEGRADATION, Photograph, restore_photograph
from rgmkit.cli.demo.tasks import TASKS, Row, solve_task
from rgmkit.cli.options import echo
from rgmkit.core.prior import RestoringPrior
from rgmkit.images import make_sheet
from rgmkit.inference import generate
from rgmkit.models.folder import load
from rgmkit.runtime.files import write_aside, write_file
from rgmkit.training.data.digits import Digits

MODEL, SEED, GENERATED = "digits", 0, 100
SHOWN, ENLARGE = 12, 4
TITLE_HEIGHT, LABEL_HEIGHT = 0.35, 0.24  # in inches


def run(out: Path, *, digits: int | None = None) -> list[Row]:
    """Restore a photograph and digits, generate digits, and write PNG figures and `index.html` into `out`.

    Args:
        out: an existing folder or a new one.
        digits: number of held-out digits to restore; all 297 by default.
    """
    start = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    photograph = restore_photograph(seed=SEED)
    numbers = ", ".join(f"{name} {psnr:.2f}" for name, psnr in photograph.psnr.items())
    echo(f"A photograph, {DEGRADATION}: PSNR in dB {numbers}\n")
    _draw_photograph(out / "photograph.png", photograph)
    network, truth = load(MODEL), Digits(split="held-out").images[:digits]
    head = f"PSNR in dB, mean of {len(truth)} digits"
    echo(f"{head:<40}{'before':>8}{'TV':>8}{'network':>9}{'NFE':>5}{'seconds':>9}")
    rows = []
    for number, task in enumerate(TASKS, start=1):
        row = solve_task(task, network, truth, seed=SEED)
        numbers = f"{row.before:>8.2f}{row.tv:>8.2f}{row.network:>9.2f}{row.nfe:>5}{row.seconds:>9.2f}"
        echo(f"{task.title:<40}{numbers}")
        _draw_restorations(out / f"restore-{number}.png", row)
        rows.append(row)
    assert isinstance(network, RestoringPrior)
    seconds, levels = _generate_digits(out, network), network.process.levels
    echo(f"\n{GENERATED} new digits in {seconds:.2f} s, {levels} network evaluations each.")
    _write_page(out / "index.html", photograph, rows, generated=GENERATED, seconds=seconds, evaluations=levels)
    echo(f"{time.perf_counter() - start:.0f} s in all. Open {out / 'index.html'}")
    return rows


def _generate_digits(out: Path, network: RestoringPrior) -> float:
    """Generate digits and draw them; return the seconds of the generation."""
    start = time.perf_counter()
    new = generate(network, GENERATED, seed=SEED)
    seconds = time.perf_counter() - start
    _draw_digits(out / "generated.png", new, Digits().images, network.process.levels)
    return seconds


def _draw_photograph(path: Path, photograph: Photograph) -> None:
    """Draw the photograph, its measurement and its restorations side by side."""
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    axes = figure.subplots(1, len(photograph.images))
    for axis, (name, x) in zip(axes, photograph.images.items(), strict=True):
        axis.imshow(x[0].permute(1, 2, 0).numpy(), interpolation="nearest")
        psnr = photograph.psnr.get(name)
        axis.set_title(name if psnr is None else f"{name}: {psnr:.1f} dB", loc="left", fontsize=10, pad=3)
        axis.set_axis_off()
    _save(figure, path)


def _draw_restorations(path: Path, row: Row) -> None:
    """Draw rows of digits: the true ones, the measurement and each restoration."""
    labels = (
        "truth",
        f"measured: PSNR {row.before:.1f} dB",
        f"restored with total variation: PSNR {row.tv:.1f} dB",
        f"restored with the network, {row.nfe} evaluation{'s' * (row.nfe > 1)}: PSNR {row.network:.1f} dB",
    )
    sheets = [make_sheet(digits[:SHOWN], columns=SHOWN, enlarge=ENLARGE) for digits in row.stages]
    _draw(path, row.task.title, dict(zip(labels, sheets, strict=True)), width=9)


def _draw_digits(path: Path, digits: Tensor, training: Tensor, evaluations: int) -> None:
    """Draw generated digits, and below them the first row again with its nearest training digits."""
    first = digits[:10]
    nearest = training[torch.cdist(first.flatten(1), training.flatten(1)).argmin(1)]
    sheets = {
        "from noise, one seed": make_sheet(digits, columns=10, enlarge=ENLARGE),
        "the first row again, and below each digit the nearest training digit": make_sheet(
            torch.cat([first, nearest]), columns=10, enlarge=ENLARGE
        ),
    }
    _draw(path, f"{len(digits)} generated digits, {evaluations} network evaluations each", sheets, width=7)


def _draw(path: Path, title: str, sheets: dict[str, Tensor], *, width: float) -> None:
    """Write a figure of labelled sheets, one below the other, each over the full width."""
    ratios = [sheet.shape[-2] / sheet.shape[-1] for sheet in sheets.values()]
    height = width * sum(ratios) + LABEL_HEIGHT * len(sheets) + TITLE_HEIGHT
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    axes = figure.subplots(len(sheets), 1, height_ratios=ratios, squeeze=False)[:, 0]
    for axis, (label, sheet) in zip(axes, sheets.items(), strict=True):
        axis.imshow(sheet[0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(label, loc="left", fontsize=10, pad=3)
        axis.set_axis_off()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with write_aside(path) as part:
        figure.savefig(part, format="png", dpi=110, metadata={"Software": None})


def _write_page(
    path: Path, photograph: Photograph, rows: list[Row], *, generated: int, seconds: float, evaluations: int
) -> None:
    """Write the HTML page, which shows the figures beside it."""
    folder = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=folder, autoescape=True, undefined=StrictUndefined).get_template("page.html")
    restored = len(rows[0].stages[0])
    page = template.render(
        photograph=photograph, degradation=DEGRADATION, rows=rows, restored=restored, generated=generated,
        seconds=seconds, evaluations=evaluations,
    )  # fmt: skip
    write_file(path, page)
