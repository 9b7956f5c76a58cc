"""Read and draw the next batches while the networks compute."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from rgmkit.runtime.device import is_accelerator
from rgmkit.training.draws import Batch, draw_batch
from rgmkit.training.setup import Run

MOST_WORKERS = 4  # by default; each keeps a batch in memory


class Feed:
    """The batches of a run, drawn ahead by `training.workers` threads.

    A batch is a function of (seed, step), so its values do not depend on the number of threads. Threads suffice, since
    decoders release Python's global interpreter lock, and they share the cache of decoded pictures.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.workers = run, count_workers(run)
        self._pool = ThreadPoolExecutor(max(1, self.workers), thread_name_prefix="data")
        self._ahead: deque[tuple[int, Future[Batch]]] = deque()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, and start to draw those after it."""
        if not self.workers:
            return draw_batch(self.run, step)
        while self._ahead and self._ahead[0][0] != step:  # a step that was skipped
            self._ahead.popleft()[1].cancel()
        self._fill(step)
        batch = self._ahead.popleft()[1].result()
        self._fill(step + 1)
        return batch

    def _fill(self, step: int) -> None:
        """Let the workers draw the batches from `step` on, one for each worker."""
        first = self._ahead[-1][0] + 1 if self._ahead else step
        for ahead in range(first, step + self.workers):
            self._ahead.append((ahead, self._pool.submit(draw_batch, self.run, ahead)))


def count_workers(run: Run) -> int:
    """Return how many threads read the batches of a run."""
    if run.settings.workers is not None:
        return run.settings.workers
    if not is_accelerator(run.device):
        return 1  # the networks need the cores themselves
    return max(1, min(MOST_WORKERS, (os.cpu_count() or 1) // run.processes.size))
