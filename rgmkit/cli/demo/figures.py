"""The pictures of the demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rgmkit.images import grid
from rgmkit.runtime.files import write_aside

if TYPE_CHECKING:
    from rgmkit.cli.demo.main import Row

ENLARGE = 4
TITLE, LABEL = 0.35, 0.24  # heights of texts, in inches


def draw_restorations(path: Path, row: Row) -> None:
    """A sheet with a row of digits for the truth, the measurement and each restoration."""
    sheets = [grid(digits, columns=len(digits), enlarge=ENLARGE) for digits in row.pictures.values()]
    figure = _figure(9, sheets, row.task.title)
    for axes, sheet, name in zip(_axes(figure, sheets), sheets, row.pictures, strict=True):
        _show(axes, sheet, name)
    _save(figure, path)


def draw_digits(path: Path, digits: Tensor, training: Tensor, evaluations: int) -> None:
    """Generated digits on a sheet, and below, for each of its first row, the nearest training digit."""
    first = digits[:10]
    nearest = training[torch.cdist(first.flatten(1), training.flatten(1)).argmin(1)]
    sheets = [grid(x, columns=10, enlarge=ENLARGE) for x in (digits, torch.cat([first, nearest]))]
    figure = _figure(7, sheets, f"{len(digits)} generated digits, {evaluations} network evaluations each")
    names = ("from noise, one seed", "the first row again, and below each the nearest training digit")
    for axes, sheet, name in zip(_axes(figure, sheets), sheets, names, strict=True):
        _show(axes, sheet, name)
    _save(figure, path)


def _figure(width: float, sheets: list[Tensor], title: str) -> Any:
    """A figure as high as sheets of this width, one below the other, with a label each and a title."""
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    height = sum(width * sheet.shape[-2] / sheet.shape[-1] + LABEL for sheet in sheets) + TITLE
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    return figure


def _axes(figure: Any, sheets: list[Tensor]) -> list[Any]:
    heights = [sheet.shape[-2] / sheet.shape[-1] for sheet in sheets]
    return list(figure.subplots(len(sheets), 1, height_ratios=heights, squeeze=False)[:, 0])


def _show(axes: Any, sheet: Tensor, name: str) -> None:
    axes.imshow(sheet[0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(name, loc="left", fontsize=10, pad=3)
    axes.set_axis_off()


def _save(figure: Any, path: Path) -> None:
    with write_aside(path) as part:
        figure.savefig(part, format="png", dpi=110, metadata={"Software": None})
