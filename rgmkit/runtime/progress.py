"""A progress bar for whatever takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

    from rgmkit.core.solver import Callback

SOON = 2.0  # seconds that pass without a bar


@contextmanager
def show_progress(title: str) -> Iterator[Callback]:
    """A solver's callback that shows a bar on stderr, from the second second on, in a terminal or a notebook."""
    from tqdm.auto import tqdm

    notebook = "ipykernel" in sys.modules  # whose stderr is no terminal
    with tqdm(desc=title, unit="step", delay=SOON, disable=False if notebook else None, leave=False) as bar:
        yield _Steps(bar)


@contextmanager
def follow_progress(title: str, callback: Callback | None, *, shown: bool) -> Iterator[Callback | None]:
    """The caller's own callback, or else a bar if one is to be shown."""
    if callback is not None or not shown:
        yield callback
    else:
        with show_progress(title) as bar:
            yield bar


class _Steps:
    """The callback of a solver that moves a bar, and names the tile of a step that takes long."""

    def __init__(self, bar: tqdm[Any]) -> None:
        self.bar, self.started = bar, time.monotonic()

    def __call__(self, step: int, steps: int, x: Any) -> None:
        self.bar.total = steps
        self.bar.set_postfix_str("", refresh=False)
        self.bar.update(step - self.bar.n)

    def tile(self, done: int, count: int) -> None:
        """`done` of `count` tiles of a network's evaluation are restored."""
        if time.monotonic() - self.started > SOON:
            self.bar.set_postfix_str(f"tile {done}/{count}")
