"""Helpers for the checks: compare results, objects and the states of random generators."""

from __future__ import annotations

import pickle
import random
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.linear import dot
from rgmkit.core.random import randn, seeded
from rgmkit.errors import AccuracyWarning

BATCH = 3


def draw_images(
    shape: Sequence[int], *, seed: int = 0, batch: int = BATCH, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Draw standard normal values, (batch, *shape)."""
    return randn((batch, *shape), generator=seeded(seed), dtype=dtype)


def assert_close(got: Tensor, expected: Tensor, rtol: float, what: str) -> None:
    """Assert that each image of `got` is within `rtol`, relative in norm, of its expected one."""
    assert got.shape == expected.shape, f"{what}: shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
    error, scale = dot(got - expected, got - expected).sqrt(), dot(expected, expected).sqrt()
    small = bool((error <= rtol * scale + 1e-12).all())
    assert small, f"{what}: relative errors {show(error / scale.clamp(min=1e-12))}, expected at most {rtol:.0e}"


def show(values: Tensor) -> str:
    """Format the first values for a message."""
    return ", ".join(f"{value:.2e}" for value in values.flatten()[:4].tolist())


def one_by_one(function: Callable[..., Tensor], *batches: Any) -> Tensor:
    """Call `function` with each image on its own, and stack the results; non-tensor arguments are passed each time."""
    size = next(len(batch) for batch in batches if isinstance(batch, Tensor))
    cut = [[b[i : i + 1] if isinstance(b, Tensor) else b for b in batches] for i in range(size)]
    return torch.cat([function(*arguments) for arguments in cut])


def skip(reason: str) -> NoReturn:
    """Skip a check that does not apply."""
    raise unittest.SkipTest(reason)


@contextmanager
def skipped_if_inaccurate(what: str) -> Iterator[None]:
    """Skip the check if `what` warns that it is not accurate."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AccuracyWarning)
            yield
    except AccuracyWarning as warning:
        skip(f"{what} warns that it is not accurate ({warning})")


def call_quietly(function: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """Call `function(*arguments)` without AccuracyWarnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return function(*arguments)


@contextmanager
def global_generators_untouched(what: str) -> Iterator[None]:
    """Assert that the block uses no global generator of torch, NumPy or Python."""
    before = _global_states()
    yield
    moved = [name for name, state in _global_states().items() if state != before[name]]
    assert not moved, f"{what} draws from the global generator of {', '.join(moved)}: draw from the one that is given"


def assert_repeatable(draw: Callable[[], Tensor], what: str) -> None:
    """Assert that two calls with the same seed give the same result, and use no global generator."""
    with global_generators_untouched(what):
        first, again = draw(), draw()
    assert torch.equal(first, again), f"{what} gives two different results from the same seed"


def assert_follows_seed(draw: Callable[[torch.Generator], Tensor], what: str) -> None:
    """Assert that two seeds give different results."""
    differ = not torch.equal(draw(seeded(1)), draw(seeded(2)))
    assert differ, f"{what} gives the same result from two seeds: draw from the generator that is given"


def assert_pure(
    thing: Any, call: Callable[[], Tensor], what: str, *arguments: Tensor, between: Callable[[], Any] | None = None
) -> None:
    """Assert that a call repeated after `between` gives the same result and changes neither `thing` nor `arguments`."""
    before = [argument.clone() for argument in arguments]
    with unchanged(thing, what), global_generators_untouched(what):
        first = call().clone()
        if between is not None:
            between()
        again = call()
    assert all(map(torch.equal, before, arguments)), f"{what} writes into its arguments"
    assert torch.equal(first, again), f"{what} gives another result when it is called again"


def _global_states() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "NumPy": pickle.dumps(np.random.get_state()),
        "Python": random.getstate(),
    }


@contextmanager
def unchanged(thing: Any, what: str) -> Iterator[None]:
    """Assert that the block changes no attribute of an object, at any depth."""
    before = dict(_state(thing, "self", set()))
    yield
    after = dict(_state(thing, "self", set()))
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    assert not changed, f"{what} changes {', '.join(changed[:4])}: an object must stay as it was constructed"


def _state(thing: Any, path: str, visited: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the paths and values of all attributes that can be compared by value."""
    if isinstance(thing, Tensor):
        flat = thing.detach().cpu().contiguous().flatten()
        yield path, (thing.shape, thing.dtype, flat.view(torch.uint8).numpy().tobytes())
    elif isinstance(thing, np.ndarray):
        yield path, (thing.shape, thing.dtype.str, thing.tobytes())
    elif isinstance(thing, torch.Generator):
        yield path, thing.get_state().numpy().tobytes()
    elif thing is None or isinstance(thing, (bool, int, float, complex, str, bytes)):
        yield path, repr(thing)
    elif id(thing) not in visited:
        visited.add(id(thing))
        parts = _parts(thing)
        yield path, type(thing).__name__ if parts else id(thing)
        for name, part in parts:
            yield from _state(part, f"{path}.{name}", visited)


def _parts(thing: Any) -> list[tuple[Any, Any]]:
    if isinstance(thing, Mapping):
        return list(thing.items())
    if isinstance(thing, (list, tuple)):
        return list(enumerate(thing))
    if isinstance(thing, type) or (callable(thing) and not isinstance(thing, torch.nn.Module)):
        return []
    return list(getattr(thing, "__dict__", {}).items())
