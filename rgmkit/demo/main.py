"""What `rgmkit demo` does, step by step."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from rgmkit.config import build
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import Prior
from rgmkit.core.random import Streams
from rgmkit.core.solver import Solution
from rgmkit.demo.figures import draw_digits, draw_restorations
from rgmkit.demo.page import write_page
from rgmkit.inference import generate, restore
from rgmkit.metrics import psnr
from rgmkit.models import load
from rgmkit.training.data.digits import Digits

MODEL, SEED, SHOWN, GENERATED = "digits", 0, 12, 100


@dataclass(frozen=True)
class Task:
    """A degradation, and the weight of `tv` that restores training digits best from it."""

    title: str
    degradation: str
    tv: str


TASKS = (
    Task("Denoising, noise 0.25", "gaussian-noise:noise=0.25", "tv:weight=6"),
    Task("Deblurring, std 1.5, noise 0.05", "blur:std=1.5,noise=0.05", "tv:weight=6"),
    Task("Super-resolution by 2, noise 0.05", "downsample:factor=2,noise=0.05", "tv:weight=6"),
)


@dataclass(frozen=True)
class Row:
    """One task's result: mean PSNR in dB of the first guess and of both restorations, and their cost."""

    task: Task
    before: float
    tv: float
    network: float
    nfe: int
    seconds: float
    tv_seconds: float
    pictures: dict[str, Tensor]


def run(out: Path, *, console: TextIO | None = None) -> list[Row]:
    """Degrade, restore and generate digits; writes PNG figures and `index.html` into `out`.

    Args:
        out: an existing folder or a new one.
        console: where the table is printed; stdout by default.
    """
    console, start = console or sys.stdout, time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    network, truth = load(MODEL), Digits(split="held-back").images
    print(HEADER, file=console)
    rows = []
    for i, task in enumerate(TASKS):
        row = attempt(task, network, truth)
        rows.append(row)
        print(line(row), file=console, flush=True)
        draw_restorations(out / f"restore-{i + 1}.png", row)
    began = time.perf_counter()
    digits = generate(network, GENERATED, seed=SEED).clamp(0, 1)
    seconds = time.perf_counter() - began
    levels = network.process.levels
    print(f"\n{GENERATED} new digits in {seconds:.2f} s, {levels} network evaluations each", file=console)
    draw_digits(out / "generated.png", digits, Digits().images, levels)
    write_page(out / "index.html", rows, generated=GENERATED, seconds=seconds, nfe=levels)
    print(f"Figures and page: {out / 'index.html'} ({time.perf_counter() - start:.0f} s in all)", file=console)
    return rows


def attempt(task: Task, network: Prior, truth: Tensor) -> Row:
    """Degrade `truth` as the task says and restore it with the network and with total variation."""
    degradation: Degradation = build("degradation", task.degradation)
    y = degradation(truth, generator=Streams(SEED, range(len(truth))))
    before = degradation.embed(y)
    learned: Solution = restore(y, degradation, network, seed=SEED)
    variation: Solution = restore(y, degradation, task.tv, seed=SEED)

    def quality(x: Tensor) -> float:
        return float(psnr(x.clamp(0, 1), truth).mean())

    shown = torch.arange(SHOWN)
    pictures = {"truth": truth, "measured": before, "tv": variation.x, f"network, {learned.nfe} evaluations": learned.x}
    return Row(
        task, quality(before), quality(variation.x), quality(learned.x), learned.nfe, learned.seconds,
        variation.seconds, {name: x[shown].clamp(0, 1) for name, x in pictures.items()},
    )  # fmt: skip


HEADER = f"{'297 held-back digits, PSNR in dB':<36}{'before':>8}{'tv':>8}{'network':>9}{'NFE':>5}{'seconds':>9}"


def line(row: Row) -> str:
    """A row of the printed table."""
    return (
        f"{row.task.title:<36}{row.before:>8.2f}{row.tv:>8.2f}{row.network:>9.2f}{row.nfe:>5}{row.seconds:>9.2f}"
    )
