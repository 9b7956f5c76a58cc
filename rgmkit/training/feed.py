"""The batch of the next step, read and drawn while the networks are at work on this one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from rgmkit.training.draws import Batch, draw
from rgmkit.training.setup import Run


class Feed:
    """The batches of a run, one step ahead in a thread.

    A batch is a function of (seed, step), so that reading ahead changes nothing.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="data")
        self._next: tuple[int, Future[Batch]] | None = None

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """The batch of that step; the next one is begun."""
        if self._next is None or self._next[0] != step:
            self._begin(step)
        assert self._next is not None
        batch = self._next[1].result()
        self._begin(step + 1)
        return batch

    def _begin(self, step: int) -> None:
        self._next = (step, self._reader.submit(draw, self.run, step))
