"""The processes that share a run: one, unless it was started by `accelerate launch` or `torchrun`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch

T = TypeVar("T")
PATIENCE = timedelta(days=30)  # the others wait for the one that tunes, and for the one with the longest cells


@dataclass(frozen=True)
class Workers:
    """This process among those that share a run.

    Attributes:
        rank, world: which of how many it is.
        device: that it computes on.
    """

    rank: int
    world: int
    device: torch.device
    _state: Any = None

    @property
    def main(self) -> bool:
        """Whether this is the process that tunes, and writes what is there once."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """What this process does of a list.

        >>> Workers(1, 2, torch.device("cpu")).share("abcde")
        ['b', 'd']
        """
        return list(items[self.rank :: self.world])

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self._state is not None:
            self._state.wait_for_everyone()


@contextmanager
def gathered(device: torch.device) -> Iterator[Workers]:
    """The workers of this run. On CUDA each process takes the device that its launcher gives it."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        yield Workers(0, 1, device)
        return
    from accelerate import PartialState

    state: Any = PartialState(cpu=device.type == "cpu", timeout=PATIENCE)
    if device.type != "cpu":
        device = state.device
    try:
        yield Workers(state.process_index, state.num_processes, device, state)
    finally:
        state.destroy_process_group()
