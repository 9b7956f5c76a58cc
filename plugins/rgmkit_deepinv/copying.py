"""Copies of deepinv's objects."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def copy_module(module: M) -> M:
    """Copy a module deeply, except for the Python modules that it refers to, as deepinv's BM3D does.

    Random generators are copied with their state, which not every version of torch does by itself. deepinv's
    `Physics.clone` gives the same result, but takes seconds, since it searches all reachable objects for generators.
    """
    memo: dict[int, object] = {}
    for value in (value for part in module.modules() for value in vars(part).values()):
        if isinstance(value, ModuleType):
            memo[id(value)] = value
        elif isinstance(value, torch.Generator):
            memo[id(value)] = torch.Generator(value.device).set_state(value.get_state())
    return copy.deepcopy(module, memo)
