"""Draw the figures of the demonstration."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure  # without pyplot: no window system, no global state
from torch import Tensor

from rgmkit.cli.demo.tasks import Row
from rgmkit.images import make_sheet
from rgmkit.runtime.files import write_aside

SHOWN, ENLARGE = 12, 4
TITLE_HEIGHT, LABEL_HEIGHT = 0.35, 0.24  # in inches


def draw_restorations(path: Path, row: Row) -> None:
    """Draw rows of digits: the true ones, the measurement and each restoration."""
    labels = (
        "truth",
        f"measured: PSNR {row.before:.1f} dB",
        f"restored with total variation: PSNR {row.tv:.1f} dB",
        f"restored with the network, {row.nfe} evaluation{'s' * (row.nfe > 1)}: PSNR {row.network:.1f} dB",
    )
    sheets = [make_sheet(digits[:SHOWN], columns=SHOWN, enlarge=ENLARGE) for digits in row.stages]
    _draw(path, row.task.title, dict(zip(labels, sheets, strict=True)), width=9)


def draw_digits(path: Path, digits: Tensor, training: Tensor, evaluations: int) -> None:
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
    """Write a figure of labelled sheets, one below the other, each as wide as the figure."""
    ratios = [sheet.shape[-2] / sheet.shape[-1] for sheet in sheets.values()]
    height = width * sum(ratios) + LABEL_HEIGHT * len(sheets) + TITLE_HEIGHT
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    axes = figure.subplots(len(sheets), 1, height_ratios=ratios, squeeze=False)[:, 0]
    for axis, (label, sheet) in zip(axes, sheets.items(), strict=True):
        axis.imshow(sheet[0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(label, loc="left", fontsize=10, pad=3)
        axis.set_axis_off()
    with write_aside(path) as part:
        figure.savefig(part, format="png", dpi=110, metadata={"Software": None})
