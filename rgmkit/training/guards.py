"""Stop a training run if a value is not finite, the critic diverges, or a file cannot be written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from rgmkit.errors import DataError, TrainingError
from rgmkit.runtime.files import explain_write_error
from rgmkit.training.setup import Run


class Diverged(TrainingError):
    """The run has diverged; the weights of the last checkpoint are still good."""


class LossMonitor:
    """Collect the losses of every step on the device; only `check` reads them, since reading waits for the device."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._names: list[str] = []
        self._steps: list[int] = []
        self._losses: list[Tensor] = []

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Add the losses of the current step."""
        self._names = list(losses)
        self._steps.append(self.run.step)
        self._losses.append(torch.stack([loss.detach().float() for loss in losses.values()]))

    def check(self) -> dict[str, float]:
        """Check all losses since the last call; return those of the last step, averaged over the processes.

        Raises:
            Diverged: if a loss is not finite, or that of the critic exceeds `critic_limit`.
        """
        if not self._losses:
            return {}
        table = torch.stack(self._losses)
        self.run.processes.average_([table])
        table, steps = table.cpu(), self._steps
        self._losses, self._steps = [], []
        bad = (~table.isfinite()).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            raise Diverged(
                f"the loss '{self._names[column]}' is {float(table[row, column])} at step {steps[row]}: "
                f"train with a smaller lr, or precision float32"
            )
        limit = self.run.settings.critic_limit
        size = float(table[:, self._names.index("critic")].abs().mean()) if "critic" in self._names else 0.0
        if size > limit:
            raise Diverged(
                f"the critic has diverged: its absolute loss is {size:.3g} on average in the steps up to "
                f"{steps[-1]}, more than critic_limit, {limit:g}: train with a smaller critic_lr, "
                f"or a larger gamma of the objective"
            )
        return dict(zip(self._names, table[-1].tolist(), strict=True))


def check_weights(run: Run) -> None:
    """Raise Diverged if a weight is not finite: the gradient of a finite loss may be infinite."""
    for name, part in (("network", run.network), ("critic", run.critic)):
        for key, weight in part.named_parameters() if part is not None else ():
            if not weight.isfinite().all():
                raise Diverged(
                    f"the weight {key} of the {name} is not finite at step {run.step}: "
                    f"train with a smaller lr, or precision float32"
                )


@contextmanager
def stop_when_unwritable(run: Run, out: Path) -> Iterator[None]:
    """Raise a TrainingError for a file that cannot be written; files written before stay intact."""
    try:
        yield
    except (OSError, DataError) as error:
        reason = explain_write_error(error, Path(error.filename or out)) if isinstance(error, OSError) else error
        last = sorted((out / "checkpoints").glob("step-*.pt"))
        kept = f"the last checkpoint is {last[-1]}" if last else "there is no checkpoint yet"
        raise TrainingError(f"{reason}; training stopped at step {run.step}, {kept}: continue with --resume") from error
