"""What a run says of itself: a line at its start, and its losses, for TensorBoard when it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from rgmkit.card import spec_line
from rgmkit.training.setup import Run


def introduction(run: Run, out: Path) -> str:
    """What is trained on what, in one line."""
    examples = "examples" if run.data.count is None else f"{run.data.count:,} examples"
    shape = "x".join(str(size) for size in run.data.shape)
    critic = "" if run.critic is None else f", critic {parameters(run.critic):,}"
    return (
        f"{spec_line(run.config['data'])}: {examples} of {shape}; parameters: network {parameters(run.network):,}"
        f"{critic}; {run.settings.steps:,} steps{f' from {run.step:,}' if run.step else ''}, into {out}"
    )


def parameters(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(weight.numel() for weight in module.parameters())


class Log:
    """Writes numbers by step into `folder`; without TensorBoard (`rgmkit[log]`) it writes nothing."""

    def __init__(self, folder: Path) -> None:
        self._writer: Any = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(folder)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add the numbers of a step."""
        if self._writer:
            for name, value in numbers.items():
                self._writer.add_scalar(f"loss/{name}", value, step)

    def close(self) -> None:
        """Flush and close the file."""
        if self._writer:
            self._writer.close()
