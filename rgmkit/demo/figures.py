"""The pictures of the demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rgmkit.files import written_aside
from rgmkit.images import grid

if TYPE_CHECKING:
    from rgmkit.demo.main import Row


def draw_restorations(path: Path, row: Row) -> None:
    """A sheet with a row of digits for the truth, the measurement and each restoration."""
    figure = _figure(9, 3.9)
    figure.suptitle(f"{row.task.title}: PSNR {row.before:.1f} → {row.network:.1f} dB (tv {row.tv:.1f})")
    for i, (name, digits) in enumerate(row.pictures.items()):
        axes = figure.add_subplot(len(row.pictures), 1, i + 1)
        _show(axes, grid(digits, columns=len(digits), enlarge=4))
        axes.set_title(name, loc="left", fontsize=9, pad=2)
    _save(figure, path)


def draw_digits(path: Path, digits: Tensor, training: Tensor, evaluations: int) -> None:
    """Generated digits on a sheet, and beside each of the first row the nearest training digit."""
    figure = _figure(7, 8.6)
    top, below = figure.subplots(2, 1, height_ratios=[10, 2])
    top.set_title(f"{len(digits)} generated digits, {evaluations} network evaluations each", loc="left")
    _show(top, grid(digits, columns=10, enlarge=4))
    nearest = training[torch.cdist(digits[:10].flatten(1), training.flatten(1)).argmin(1)]
    below.set_title("the first row, and the nearest training digit of each", loc="left", fontsize=9)
    _show(below, grid(torch.cat([digits[:10], nearest]), columns=10, enlarge=4))
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    return Figure(figsize=(width, height), layout="constrained")


def _show(axes: Any, sheet: Tensor) -> None:
    axes.imshow(sheet[0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()


def _save(figure: Any, path: Path) -> None:
    with written_aside(path) as part:
        figure.savefig(part, format="png", dpi=110)
