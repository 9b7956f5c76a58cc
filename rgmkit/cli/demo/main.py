"""What `rgmkit demo` does, step by step."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from torch import Tensor

from rgmkit.cli.demo.figures import draw_digits, draw_restorations
from rgmkit.cli.demo.page import write_page
from rgmkit.config import build
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import Prior
from rgmkit.core.random import Streams
from rgmkit.inference import generate, restore
from rgmkit.metrics import psnr
from rgmkit.models.folder import load
from rgmkit.training.data.digits import Digits

MODEL, SEED, SHOWN, GENERATED = "digits", 0, 12, 100


@dataclass(frozen=True)
class Task:
    """A degradation of digits, and total variation against it.

    Attributes:
        title: in words.
        degradation: a spec.
        tv: a spec; the weight is the one of best mean PSNR on training digits, with the solver `TV_SOLVER`.
    """

    title: str
    degradation: str
    tv: str


TV_SOLVER = "pgd"  # on digits its 100 steps stop on the way to the minimum, which is 1 dB better than the minimum

NETWORK_SOLVER = "pnp-drs:iterations=4"  # 8 network evaluations at the most


TASKS = (
    Task("Denoising: noise 0.25", "gaussian-noise:noise=0.25", "tv:weight=2.5"),
    Task("Deblurring: std 1.5 pixels, noise 0.05", "blur:std=1.5,noise=0.05", "tv:weight=1"),
    Task("Super-resolution by 2: noise 0.05", "downsample:factor=2,noise=0.05", "tv:weight=2.5"),
)


@dataclass(frozen=True)
class Row:
    """One task's result.

    Attributes:
        before, tv, network: mean PSNR in dB of the measurement (enlarged to the size of the image), and of
            the images restored with total variation and with the network.
        nfe: network evaluations per digit.
        seconds: of the network, for all digits.
        pictures: some digits at each stage, by name.
    """

    task: Task
    before: float
    tv: float
    network: float
    nfe: int
    seconds: float
    pictures: dict[str, Tensor]


def run(out: Path, *, console: TextIO | None = None, digits: int | None = None) -> list[Row]:
    """Degrade, restore and generate digits; writes PNG figures and `index.html` into `out`.

    Args:
        out: an existing folder or a new one.
        console: where the table is printed; stdout by default.
        digits: number of held-back digits to restore; all 297 by default.
    """
    console, start = console or sys.stdout, time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    network, truth = load(MODEL), Digits(split="held-back").images[:digits]
    print(header(len(truth)), file=console, flush=True)
    rows = []
    for i, task in enumerate(TASKS):
        rows.append(attempt(task, network, truth))
        print(line(rows[i]), file=console, flush=True)
        draw_restorations(out / f"restore-{i + 1}.png", rows[i])
    began = time.perf_counter()
    new = generate(network, GENERATED, seed=SEED)
    seconds, levels = time.perf_counter() - began, network.process.levels
    print(f"\n{GENERATED} new digits in {seconds:.2f} s, {levels} network evaluations each.", file=console)
    draw_digits(out / "generated.png", new, Digits().images, levels)
    write_page(out / "index.html", rows, restored=len(truth), generated=GENERATED, seconds=seconds, evaluations=levels)
    print(f"{time.perf_counter() - start:.0f} s in all. To see it, open {out / 'index.html'}", file=console)
    return rows


def attempt(task: Task, network: Prior, truth: Tensor) -> Row:
    """Degrade `truth` as the task says and restore it with the network and with total variation."""
    degradation: Degradation = build("degradation", task.degradation)
    y = degradation(truth, generator=Streams(SEED, range(len(truth))))
    learned = restore(y, degradation, network, solver=NETWORK_SOLVER, seed=SEED)
    smooth = restore(y, degradation, task.tv, solver=TV_SOLVER)
    images = [x.clamp(0, 1) for x in (degradation.embed(y), smooth.x, learned.x)]
    before, tv, net = (float(psnr(x, truth).mean()) for x in images)
    names = (
        f"measured: PSNR {before:.1f} dB",
        f"restored with total variation: PSNR {tv:.1f} dB",
        f"restored with the network, {learned.nfe} evaluation{'s' * (learned.nfe > 1)}: PSNR {net:.1f} dB",
    )
    pictures = {name: x[:SHOWN] for name, x in zip(("truth", *names), (truth, *images), strict=True)}
    return Row(task, before, tv, net, learned.nfe, learned.seconds, pictures)


def header(count: int) -> str:
    """The head of the printed table."""
    return f"{f'PSNR in dB, mean of {count} digits':<40}{'before':>8}{'tv':>8}{'network':>9}{'NFE':>5}{'seconds':>9}"


def line(row: Row) -> str:
    """A row of the printed table."""
    return f"{row.task.title:<40}{row.before:>8.2f}{row.tv:>8.2f}{row.network:>9.2f}{row.nfe:>5}{row.seconds:>9.2f}"
