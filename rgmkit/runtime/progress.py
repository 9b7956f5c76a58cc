"""Progress bars for work that takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rgmkit.errors import escape_controls

if TYPE_CHECKING:
    from tqdm import tqdm

    from rgmkit.core.solver import Callback

DELAY = 2.0  # seconds before a bar appears


@contextmanager
def show_progress(title: str, *, shown: bool = True) -> Iterator[Callback]:
    """Yield a solver callback that shows a bar on stderr after two seconds, in a terminal or a notebook."""
    from tqdm.auto import tqdm

    notebook, title = "ipykernel" in sys.modules, escape_controls(title)  # a notebook's stderr is not a terminal
    with tqdm(
        desc=title,
        unit="step",
        delay=DELAY,
        disable=not shown or (False if notebook else None),
        leave=False,
    ) as bar:
        yield _BarCallback(bar)


@contextmanager
def follow_progress(title: str, callback: Callback | None, *, shown: bool) -> Iterator[Callback | None]:
    """Yield the caller's own callback or, if there is none and `shown` is set, that of a progress bar."""
    if callback is not None or not shown:
        yield callback
    else:
        with show_progress(title) as bar:
            yield bar


class _BarCallback:
    """A solver callback that advances a bar and shows the tiles of a long step."""

    def __init__(self, bar: tqdm[Any]) -> None:
        self.bar, self.started = bar, time.monotonic()

    def __call__(self, step: int, steps: int, x: Any) -> None:
        self.bar.total = steps
        self.bar.set_postfix_str("", refresh=False)
        self.bar.update(step - self.bar.n)

    def tile(self, done: int, count: int) -> None:
        """Show how many tiles of a network evaluation are done."""
        if time.monotonic() - self.started > DELAY:
            self.bar.set_postfix_str(f"tile {done}/{count}")
