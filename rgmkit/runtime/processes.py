"""Share work between several processes, on one machine or more."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rgmkit.errors import ConfigError, RgmkitError, TrainingError, describe_error
from rgmkit.runtime.device import as_device
from rgmkit.runtime.extras import require

T = TypeVar("T")


def is_main_process() -> bool:
    """Whether the launcher gave this process rank 0; works before `ProcessGroup.join`.

    >>> is_main_process()
    True
    """
    return int(os.environ.get("RANK", 0)) == 0


LAUNCH = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # variables that a launcher sets


@dataclass(frozen=True)
class ProcessGroup:
    """One process, or those that `accelerate launch` or `torchrun` started.

    The process of rank 0 is the main process, which alone writes shared files. As a context manager, the process leaves
    the group at the end of the block.

    Attributes:
        device: where this process computes.
        size: the number of processes.
        rank: of this process, 0 … size - 1.
    """

    device: torch.device
    size: int = 1
    rank: int = 0

    @classmethod
    def join(cls, device: str | torch.device, *, timeout: timedelta | None = None) -> ProcessGroup:
        """Join the group that the launcher's environment describes; on accelerators each process takes one of them.

        Args:
            device: the device; with several processes only its type matters.
            timeout: how long the processes wait for each other. Default: that of `torch.distributed`.

        Raises:
            ConfigError: if there is no such device, or the environment describes no group that can be joined.
        """
        device = as_device(device)
        if os.environ.get("WORLD_SIZE", "1") == "1":
            return cls(device)
        require("accelerate", "a group of several processes")
        from accelerate import PartialState

        options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        try:
            state = PartialState(cpu=device.type == "cpu", **options)
            state.num_processes  # noqa: B018 - an attribute that is missing after a launch that failed
        except Exception as error:
            given = ", ".join(f"{name}={os.environ[name]}" for name in LAUNCH if name in os.environ)
            raise ConfigError(
                f"the environment says {given}, and no group of processes can be joined ({describe_error(error)}): "
                f"start with accelerate launch or torchrun, or unset these variables"
            ) from error
        return cls(state.device, state.num_processes, state.process_index)

    def leave(self) -> None:
        """Close the connections to the other processes."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().destroy_process_group()

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    @property
    def is_main(self) -> bool:
        """Whether this is the process of rank 0."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Return the items that this process works on.

        >>> ProcessGroup(torch.device("cpu"), size=2, rank=1).share("abcde")
        ['b', 'd']
        """
        return list(items[self.rank :: self.size])

    def wait(self) -> None:
        """Wait until all processes have reached this call."""
        if self.size > 1:
            from accelerate import PartialState

            with _explain_lost_process():
                PartialState().wait_for_everyone()

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])  # one message instead of hundreds
        with _explain_lost_process():
            dist.all_reduce(flat)
        for tensor, mean in zip(tensors, (flat / self.size).split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def reduce_max(self, *numbers: int) -> list[int]:
        """Return the maximum of each number over the processes, so that all take the same decision."""
        if self.size == 1:
            return list(numbers)
        maxima = torch.tensor(numbers, device=self.device)
        with _explain_lost_process():
            dist.all_reduce(maxima, dist.ReduceOp.MAX)
        return [int(number) for number in maxima]

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes in the main process, and an empty list in the others."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with _explain_lost_process():
            dist.gather_object(value, values if self.is_main else None)
        return values if self.is_main else []

    def on_main(self, function: Callable[[], T]) -> T:
        """Call `function` in the main process only and return its result everywhere.

        An `RgmkitError` or `OSError` there is raised in every process.
        """
        if self.size == 1:
            return function()
        outcome: list[Any] = [None, None]
        if self.is_main:
            try:
                outcome[0] = function()
            except (RgmkitError, OSError) as error:
                outcome[1] = error
        with _explain_lost_process():
            dist.broadcast_object_list(outcome, device=None if self.device.type == "cpu" else self.device)
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]

    @contextmanager
    def enter_on_main(self, context: AbstractContextManager[Any]) -> Iterator[None]:
        """Enter `context` in the main process only; an error on entering is raised in every process."""
        with ExitStack() as stack:

            def enter() -> None:
                stack.enter_context(context)

            self.on_main(enter)
            yield


@contextmanager
def _explain_lost_process() -> Iterator[None]:
    """Raise a TrainingError if another process has ended or does not answer in time."""
    try:
        yield
    except RuntimeError as error:
        reason = re.sub(r"^\[\S+\] ", "", " ".join(str(error).split())).split(". ")[0]  # without the line of C++ source
        raise TrainingError(
            f"another process of this run has ended, or does not answer ({reason[:200]}): look for its own message, "
            f"and start the run again: training continues from the last checkpoint with --resume"
        ) from error
