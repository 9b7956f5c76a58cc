"""Losses over time, for TensorBoard when it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any


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
