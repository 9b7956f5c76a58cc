"""What stops a training run: numbers that are not finite, a critic that explodes, a disk that is full."""

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
    """The weights are of no use any more; those of the last checkpoint are."""


class Guard:
    """Keeps the losses of every step on the device and looks at them when asked: to read a number is to wait.

    Args:
        run: the run it watches.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._names: list[str] = []
        self._steps: list[int] = []
        self._losses: list[Tensor] = []

    def watch(self, losses: Mapping[str, Tensor]) -> None:
        """Note the losses of the step that is done."""
        self._names = list(losses)
        self._steps.append(self.run.step)
        self._losses.append(torch.stack([loss.detach().float() for loss in losses.values()]))

    def look(self) -> dict[str, float]:
        """The losses of the last step, after a look at all since the last look: means over the processes.

        Raises:
            Diverged: naming the loss, its value and the step.
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
                f"the critic has exploded: its loss is {size:.3g} in size in the steps up to {steps[-1]}, more than "
                f"critic_limit, {limit:g}: train with a smaller critic_lr, or a larger gamma of the objective"
            )
        return dict(zip(self._names, table[-1].tolist(), strict=True))

    def look_at_weights(self) -> None:
        """Raise Diverged if a weight is not finite: a finite loss may have a gradient that is not."""
        for name, part in (("network", self.run.network), ("critic", self.run.critic)):
            for key, weight in part.named_parameters() if part is not None else ():
                if not weight.isfinite().all():
                    raise Diverged(
                        f"the weight {key} of the {name} is not finite at step {self.run.step}: "
                        f"train with a smaller lr, or precision float32"
                    )


@contextmanager
def writing(run: Run, out: Path) -> Iterator[None]:
    """Raise a TrainingError for what cannot be written; what was there before is whole."""
    try:
        yield
    except (OSError, DataError) as error:
        reason = explain_write_error(error, Path(error.filename or out)) if isinstance(error, OSError) else error
        last = sorted((out / "checkpoints").glob("step-*.pt"))
        kept = f"the last checkpoint is {last[-1]}" if last else "there is no checkpoint yet"
        raise TrainingError(f"{reason}; training stopped at step {run.step}, {kept}: go on with --resume") from error
