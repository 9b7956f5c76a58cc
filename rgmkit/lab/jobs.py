"""One job at a time, the others in the order in which they came."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch.overrides import TorchFunctionMode

from rgmkit.errors import RgmkitError, describe_error, is_out_of_memory

MOST_WAITING = 100
KEPT, KEPT_BYTES = 32, 2**29  # most results that are kept for the page, and their size
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
log = logging.getLogger(__name__)


class Cancelled(BaseException):
    """Raised in a job that was cancelled."""


class _Cancellable(TorchFunctionMode):
    """While a job computes: end it at its next operation on a tensor once it is cancelled."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.job.stopped.is_set():
            raise Cancelled
        return func(*args, **(kwargs or {}))


class QueueFull(RgmkitError):
    """Too many jobs are waiting."""


@dataclass
class Result:
    """What a job gives: facts for the page, and files by name."""

    facts: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


@dataclass(eq=False)
class Job:
    """A piece of work, its progress and its result.

    Attributes:
        work: is given the job, for `report`, and returns the result; None when it has ended.
        state: waiting, running, done, failed or cancelled.
        error: why it failed.
        step, steps: of the solver.
        detail: of a long step, such as "tile 3 of 8".
        preview: a small PNG of the estimate so far.
    """

    work: Callable[[Job], Result] | None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: str = WAITING
    error: str = ""
    step: int = 0
    steps: int = 0
    detail: str = ""
    preview: bytes = b""
    result: Result | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def report(self, step: int, steps: int, detail: str = "") -> None:
        """Record the progress, or end the job if it was cancelled."""
        if self.stopped.is_set():
            raise Cancelled
        self.step, self.steps, self.detail = step, steps, detail


class Jobs:
    """A queue with one thread that runs its jobs, and the results of the last ones."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="rgmkit-lab", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Job], Result]) -> Job:
        """Put work at the end of the queue.

        Raises:
            QueueFull: if too many jobs wait.
        """
        job = Job(work)
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                raise QueueFull(f"{MOST_WAITING} jobs are waiting: try again later")
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def find(self, name: str) -> Job | None:
        """Return the job of an id; None if there is none, or it is no longer kept."""
        return self._jobs.get(name)

    def place(self, job: Job) -> int:
        """Return how many jobs come before a waiting one, with that which runs."""
        with self._changed:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + (self._running is not None)

    def cancel(self, job: Job) -> None:
        """Cancel a job: at once if it waits, else at its next report or operation on a tensor."""
        with self._changed:
            job.stopped.set()
            if job in self._waiting:
                self._waiting.remove(job)
                job.state, job.work = CANCELLED, None
                self._changed.notify_all()

    def wait(self, job: Job, seconds: float | None = None) -> str:
        """Wait until a job has ended, at most some seconds; return its state."""
        with self._changed:
            self._changed.wait_for(lambda: job.state not in (WAITING, RUNNING), seconds)
        return job.state

    def close(self, wait: float = 5.0) -> None:
        """Cancel all jobs and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            jobs = [*self._waiting, *([self._running] if self._running else [])]
        for job in jobs:
            self.cancel(job)
        self._thread.join(wait)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._running = self._waiting.popleft()
                job.state = RUNNING
            state = _run_job(job)
            with self._changed:
                job.state, job.work, job.preview, self._running = state, None, b"", None
                self._forget()
                self._changed.notify_all()

    def _forget(self) -> None:
        """Forget the oldest jobs that have ended, beyond the number and the size that are kept."""
        ended = [job for job in self._jobs.values() if job.state not in (WAITING, RUNNING)]
        size = sum(job.result.size for job in ended if job.result)
        for job in ended[:-1]:
            if len(ended) <= KEPT and size <= KEPT_BYTES:
                return
            ended = ended[1:]
            size -= job.result.size if job.result else 0
            del self._jobs[job.id]


def _run_job(job: Job) -> str:
    """Run a job; return the state in which it ends."""
    assert job.work is not None
    try:
        with _Cancellable(job):
            job.result = job.work(job)
        return DONE
    except Cancelled:
        return CANCELLED
    except RgmkitError as error:
        job.error = str(error)
    except (Exception, SystemExit) as error:  # of a plugin, or a mistake of ours
        if is_out_of_memory(error):
            job.error = "the memory is too small for this picture: take a smaller one"
        else:
            log.exception("a job of the lab failed")
            job.error = f"{type(error).__name__}: {describe_error(error)}"
    return FAILED
