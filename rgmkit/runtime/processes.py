"""The processes that train one network together."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rgmkit.errors import RgmkitError, TrainingError
from rgmkit.runtime.device import as_device

T = TypeVar("T")


def leads() -> bool:
    """Whether this is the process that speaks for all, before it has joined them.

    >>> leads()
    True
    """
    return int(os.environ.get("RANK", 0)) == 0


@contextmanager
def _answered() -> Iterator[None]:
    """Raise a TrainingError where another process has ended, or does not answer in time."""
    try:
        yield
    except RuntimeError as error:
        reason = re.sub(r"^\[\S+\] ", "", " ".join(str(error).split())).split(". ")[0]  # without a place in C++
        raise TrainingError(
            f"another process of this run has ended, or does not answer ({reason[:200]}): look for its own message; "
            f"training goes on from the last checkpoint with --resume"
        ) from error


@dataclass(frozen=True)
class ProcessGroup:
    """One process, or those that `accelerate launch` or `torchrun` started, on one machine or several.

    All hold the same weights and do the same steps. Each computes its own rows of the batch; the first one, the
    lead, writes the files.

    Attributes:
        device: where this process computes.
        size: how many processes there are.
        rank: the place of this one, 0 … size - 1.
    """

    device: torch.device
    size: int = 1
    rank: int = 0

    @classmethod
    def join(cls, device: str | torch.device) -> ProcessGroup:
        """The team that the launcher's environment tells of; several processes on CUDA take a GPU each."""
        device = as_device(device)
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return cls(device)
        from accelerate import PartialState

        state = PartialState(cpu=device.type == "cpu")
        return cls(state.device, state.num_processes, state.process_index)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes the files."""
        return self.rank == 0

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over the processes into each tensor."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])  # one message in place of hundreds
        with _answered():
            dist.all_reduce(flat)
        for tensor, mean in zip(tensors, (flat / self.size).split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def highest(self, *numbers: int) -> list[int]:
        """The highest of each number over the processes, so that all decide alike."""
        if self.size == 1:
            return list(numbers)
        held = torch.tensor(numbers, device=self.device)
        with _answered():
            dist.all_reduce(held, dist.ReduceOp.MAX)
        return [int(number) for number in held]

    def gathered(self, value: T) -> list[T]:
        """The values of all processes, in the lead; elsewhere none."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with _answered():
            dist.gather_object(value, values if self.leads else None)
        return values if self.leads else []

    def lead(self, function: Callable[[], T]) -> T:
        """What `function` returns in the lead, which alone calls it; an error there that is no bug is raised by all."""
        if self.size == 1:
            return function()
        answer: list[Any] = [None, None]
        if self.leads:
            try:
                answer[0] = function()
            except (RgmkitError, OSError) as error:
                answer[1] = error
        with _answered():
            dist.broadcast_object_list(answer, device=self.device if self.device.type == "cuda" else None)
        if answer[1] is not None:
            raise answer[1]
        returned: T = answer[0]
        return returned

    @contextmanager
    def led(self, context: AbstractContextManager[Any]) -> Iterator[None]:
        """A context of the lead; an error on its way in is raised everywhere."""
        with ExitStack() as stack:

            def enter() -> None:
                stack.enter_context(context)

            self.lead(enter)
            yield
