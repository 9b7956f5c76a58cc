"""Report on a run: a description at its start, and its losses."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from csv import DictReader
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from rgmkit import models
from rgmkit.config import is_number, spec_text
from rgmkit.errors import describe_error
from rgmkit.runtime.files import write_aside
from rgmkit.training.rehearsal import Pace
from rgmkit.training.setup import Run

FEW = 100  # steps
TABLE, LOSSES = "losses.csv", ("critic", "prior", "fidelity")
COLUMNS = ("step", "seconds", *LOSSES, "lr", "held_out_psnr")  # the last one since version 0.2


def describe_run(run: Run, out: Path) -> str:
    """Describe the data, the networks and the number of steps in one line."""
    examples = "examples" if run.data.count is None else f"{run.data.count:,} examples"
    shape = "x".join(str(size) for size in run.data.shape)
    critic = "" if run.critic is None else f", critic {count_parameters(run.critic):,}"
    return (
        f"{describe_data(run)}: {examples} of {shape}; parameters: network {count_parameters(run.network):,}"
        f"{critic}; {_describe_budget(run)}, into {out}"
    )


def _describe_budget(run: Run) -> str:
    if run.settings.minutes is not None:
        return f"{run.settings.minutes:g} minutes{f' from {run.seconds / 60:.2g}' if run.step else ''}"
    return f"{run.settings.steps:,} steps{f' from {run.step:,}' if run.step else ''}"


def describe_progress(run: Run) -> str:
    """Say how much of the budget is spent: "step 3 of 30", or "minute 2.5 of 10, step 812"."""
    minutes = run.settings.minutes
    if minutes is None:
        return f"step {run.step} of {run.settings.steps}"
    return f"minute {run.seconds / 60:.3g} of {minutes:g}, step {run.step}"


def describe_pace(run: Run, pace: Pace) -> str:
    """Predict in one line how many steps a run with a budget of minutes can do on this machine, in what memory."""
    settings = run.settings
    left = 60 * (settings.minutes or 0) - run.seconds
    steps = max(1, round(left / pace.seconds))
    seen = steps * settings.batch
    advice = "" if steps >= FEW else "; so few steps change little: give more minutes, or smaller images or batches"
    epochs = f" ({seen / run.data.count:.2g} times the data)" if run.data.count else ""
    return (
        f"predicted for this machine: {pace.seconds:.2g} s per step, about {float(f'{steps:.2g}'):,.0f} steps and "
        f"{float(f'{seen:.2g}'):,.0f} images{epochs} in {left / 60:.2g} minutes, {pace.mib / 1024:.1f} GiB of memory"
        f"{advice}"
    )


def describe_data(run: Run) -> str:
    """Return the data as a spec string; an object by the name of its class."""
    data = run.config["data"]
    if isinstance(data, Mapping):
        return spec_text(models.serialize_config(data))
    return data if isinstance(data, str) else type(data).__name__


def count_parameters(module: nn.Module) -> int:
    """Count the weights of a module, including fixed ones."""
    return sum(weight.numel() for weight in module.parameters())


class LossLog:
    """Write the losses to `out/losses.csv`, and to `out/log` if TensorBoard (`rgmkit[log]`) is installed.

    Rows of steps after the current one, left by an interrupted run that is resumed, are removed.
    """

    def __init__(self, run: Run, out: Path) -> None:
        self.run = run
        table = out / TABLE
        before = table.read_text(encoding="utf-8", errors="replace").splitlines() if table.exists() else []
        old = len(before) > 0 and before[0].count(",") == len(COLUMNS) - 2
        lines = [f"{line}," for line in before[1:]] if old else before[1:]
        rows = [line.split(",") for line in lines]  # the last one may be incomplete
        kept = [",".join(row) for row in rows if _is_whole(row) and int(row[0]) <= run.step]
        with write_aside(table) as part:
            part.write_text("\n".join([",".join(COLUMNS), *kept, ""]), encoding="utf-8")
        self._table = table.open("a", encoding="utf-8", buffering=1)  # each line reaches the file at once
        self._writer: Any = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(out / "log", purge_step=run.step + 1)

    def write(self, losses: Mapping[str, float]) -> None:
        """Add the losses of the current step."""
        run, rate = self.run, self.run.optimizer.param_groups[0]["lr"]
        row = {"step": f"{run.step}", "seconds": f"{run.seconds:.2f}", "lr": f"{rate:.6g}"}
        row |= {name: f"{value:.6g}" for name, value in losses.items()}
        self._table.write(",".join(row.get(column, "") for column in COLUMNS) + "\n")
        if self._writer:
            for name, value in losses.items():
                self._writer.add_scalar(f"loss/{name}" if name in LOSSES else name, value, run.step)

    def close(self) -> None:
        """Close the files."""
        with suppress(OSError):  # a full disk, which `write` has reported
            self._table.close()
        if self._writer:
            self._writer.close()


def _is_whole(row: Sequence[str]) -> bool:
    """Whether a row has a step and numbers; it may have been cut or damaged."""
    return len(row) == len(COLUMNS) and row[0].isdecimal() and all(not cell or is_number(cell) for cell in row)


def draw_losses(out: Path) -> None:
    """Draw `out/losses.png`, a panel for each loss in `out/losses.csv`, if that has two lines or more."""
    from matplotlib.figure import Figure

    if not (out / TABLE).exists():  # a run begun by a version that wrote none
        return
    try:
        with (out / TABLE).open(encoding="utf-8") as table:
            rows = list(DictReader(table))
        names = [name for name in LOSSES if rows and rows[0][name]]
        curves = {name: [float(row[name]) for row in rows] for name in names}
        steps = [int(row["step"]) for row in rows]
    except (ValueError, TypeError, KeyError, csv.Error) as error:  # the model is not lost for its picture
        warnings.warn(f"{out / TABLE} is damaged, and is not drawn ({describe_error(error)})", stacklevel=2)
        return
    if len(rows) < 2:
        return
    figure = Figure(figsize=(3 * len(names), 2.5), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, len(names), squeeze=False)[0], curves.items(), strict=True):
        wide = 0 < 20 * min(values) < max(values)
        axes.plot(steps, values, linewidth=0.7)
        axes.set(title=name, xlabel="step", yscale="log" if wide else "linear")
    with write_aside(out / "losses.png") as part:
        figure.savefig(part, format="png", dpi=100)
