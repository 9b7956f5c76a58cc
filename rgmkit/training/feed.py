"""The batch of the next step, read while the networks are at work on this one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from rgmkit.training.setup import Run


class Feed:
    """This process's rows of the batches of a run, one step ahead in a thread.

    A batch is a function of (seed, step), so that reading ahead changes nothing.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="data")
        self._next: tuple[int, Future[Tensor]] | None = None

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Tensor:
        """The rows of that step, (n, *shape); the next ones are begun."""
        if self._next is None or self._next[0] != step:
            self._begin(step)
        assert self._next is not None
        rows = self._next[1].result()
        self._begin(step + 1)
        return rows

    def _begin(self, step: int) -> None:
        run = self.run
        future = self._reader.submit(run.data.part, run.rows, run.settings.batch, seed=run.seed, step=step)
        self._next = (step, future)
