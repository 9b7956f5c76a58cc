"""Copy modules to a device, and switch them to evaluation mode."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def to_device(module: M, device: torch.device) -> M:
    """Return `module`, or a copy on `device` if any of its tensors is elsewhere; the original is never moved."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    if all(tensor.device == device for tensor in tensors):
        return module
    return copy.deepcopy(module).to(device)


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put `module` into evaluation mode for the block, then restore the mode of each submodule."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
