"""Tensors that operators compute once, such as transfer functions and masks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

F = TypeVar("F", bound=Callable[..., Any])


def cached_constant(*, maxsize: int) -> Callable[[F], F]:
    """Cache the results of a function of hashable arguments, so that operators stay free of state.

    The function runs outside of inference mode: a tensor made in inference mode could never be part of a graph.

    Args:
        maxsize: how many results are kept.
    """

    def decorate(function: F) -> F:
        return functools.lru_cache(maxsize)(torch.inference_mode(mode=False)(function))  # type: ignore[return-value]

    return decorate
