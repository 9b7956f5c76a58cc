"""What a run says of itself: a line at its start, and its losses."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from csv import DictReader
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from rgmkit import models
from rgmkit.config import spec_text
from rgmkit.runtime.files import write_aside
from rgmkit.training.setup import Run

TABLE, LOSSES = "losses.csv", ("critic", "prior", "fidelity")
COLUMNS = ("step", "seconds", *LOSSES, "lr")


def introduction(run: Run, out: Path) -> str:
    """What is trained on what, in one line."""
    examples = "examples" if run.data.count is None else f"{run.data.count:,} examples"
    shape = "x".join(str(size) for size in run.data.shape)
    critic = "" if run.critic is None else f", critic {parameters(run.critic):,}"
    return (
        f"{data_line(run)}: {examples} of {shape}; parameters: network {parameters(run.network):,}"
        f"{critic}; {run.settings.steps:,} steps{f' from {run.step:,}' if run.step else ''}, into {out}"
    )


def data_line(run: Run) -> str:
    """The data as it is written on the command line; an object by the name of its class."""
    data = run.config["data"]
    if isinstance(data, Mapping):
        return spec_text(models.writable(data))
    return data if isinstance(data, str) else type(data).__name__


def parameters(module: nn.Module) -> int:
    """How many numbers its weights are, those that are held fixed, too."""
    return sum(weight.numel() for weight in module.parameters())


class Log:
    """Writes losses by step, into `out/losses.csv`, and into `out/log` where TensorBoard (`rgmkit[log]`) is installed.

    What is there of later steps than that of `run`, which are done again, is dropped.
    """

    def __init__(self, run: Run, out: Path) -> None:
        self.run = run
        table = out / TABLE
        before = table.read_text(encoding="utf-8", errors="replace").splitlines() if table.exists() else []
        whole = [line for line in before[1:] if line.count(",") == len(COLUMNS) - 1]  # the last one may be cut
        kept = [line for line in whole if int(line.partition(",")[0]) <= run.step]
        with write_aside(table) as part:
            part.write_text("\n".join([",".join(COLUMNS), *kept, ""]), encoding="utf-8")
        self._table = table.open("a", encoding="utf-8", buffering=1)  # each line is in the file at once
        self._writer: Any = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(out / "log", purge_step=run.step + 1)

    def write(self, losses: Mapping[str, float]) -> None:
        """Add the losses of the step that is done."""
        run, rate = self.run, self.run.optimizer.param_groups[0]["lr"]
        row = {"step": f"{run.step}", "seconds": f"{run.seconds:.2f}", "lr": f"{rate:.6g}"}
        row |= {name: f"{value:.6g}" for name, value in losses.items()}
        self._table.write(",".join(row.get(column, "") for column in COLUMNS) + "\n")
        if self._writer:
            for name, value in losses.items():
                self._writer.add_scalar(f"loss/{name}", value, run.step)

    def close(self) -> None:
        """Close the files."""
        with suppress(OSError):  # of a full disk, which `write` has told of
            self._table.close()
        if self._writer:
            self._writer.close()


def draw_losses(out: Path) -> None:
    """`out/losses.png`, a panel for each loss of `out/losses.csv`; nothing where that has fewer than two lines."""
    from matplotlib.figure import Figure

    if not (out / TABLE).exists():  # of a run that was begun before there was one
        return
    with (out / TABLE).open(encoding="utf-8") as table:
        rows = list(DictReader(table))
    if len(rows) < 2:
        return
    names = [name for name in LOSSES if rows[0][name]]
    figure = Figure(figsize=(3 * len(names), 2.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = [float(row[name]) for row in rows]
        wide = 0 < 20 * min(values) < max(values)
        axes.plot([int(row["step"]) for row in rows], values, linewidth=0.7)
        axes.set(title=name, xlabel="step", yscale="log" if wide else "linear")
    with write_aside(out / "losses.png") as part:
        figure.savefig(part, format="png", dpi=100)
