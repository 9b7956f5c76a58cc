"""The training loop."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

import torch
from tqdm import tqdm

from rgmkit.errors import TrainingError, escape_controls
from rgmkit.runtime.precision import explain_compile_errors
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.runtime.signals import DeferredSignals, end_by, unwind_on_sigterm
from rgmkit.training.checkpoint import hold_folder, load_last, restore_run, save_checkpoint
from rgmkit.training.configuration import Configuration
from rgmkit.training.feed import Feed
from rgmkit.training.finish import fall_back, is_written, write_model
from rgmkit.training.guards import Diverged, LossMonitor, check_weights, stop_when_unwritable
from rgmkit.training.log import LossLog, describe_pace, describe_progress, describe_run
from rgmkit.training.preview import find_next_preview, is_preview_due, measure_held_out, write_preview
from rgmkit.training.rehearsal import measure_steps, rehearse
from rgmkit.training.setup import Run, set_up
from rgmkit.training.step import train_step

LOG_EVERY = 20  # steps: reading a loss waits for the device

logger = logging.getLogger(__name__)


def run_training(
    configuration: Configuration, out: Path, *, resume: bool, progress: bool, device: str | torch.device
) -> Path:
    """Train the network of a configuration, and write its model into the folder `out`; see `rgmkit.train`."""
    processes = ProcessGroup.join(device)
    run, threads = None, torch.get_num_threads()
    with unwind_on_sigterm():
        try:
            run = set_up(configuration, processes)
            rehearse(run)
            with processes.enter_on_main(hold_folder(out, resume=resume)):
                torch.set_num_threads(run.settings.threads or threads)
                _train(run, out, resume=resume, progress=progress and processes.is_main)
        except KeyboardInterrupt:
            if processes.is_main:
                logger.warning(_describe_stop(run))
            raise
        finally:
            torch.set_num_threads(threads)
    return out


def _train(run: Run, out: Path, *, resume: bool, progress: bool) -> None:
    """Start or resume the run, do its steps, and write the model."""
    pace = None if run.settings.minutes is None else measure_steps(run)
    state = run.processes.on_main(lambda: load_last(out) if resume else None)
    if state is not None:
        restore_run(run, state, out)
    else:
        if resume and progress:
            _say(f"note: nothing to resume in {out}: started from the beginning")
        _write_on_main(run, out, lambda: save_checkpoint(run, out))  # so that a full or read-only disk is found now
    if not run.is_done:
        if progress:
            _say(describe_run(run, out))
        if progress and pace is not None:
            _say(describe_pace(run, pace))
        try:
            with compile_restorer(run):
                _do_steps(run, out, progress=progress)
        except Diverged as error:
            kept = run.processes.on_main(lambda: fall_back(run, out))
            raise TrainingError(f"{error}; {kept}") from error
    elif is_written(run, out):
        if progress:
            more = "" if pace is None else "; with more minutes, the run goes on"
            _say(f"note: {out} is finished: {run.step} steps are done, and the model is written{more}")
        return
    if run.processes.is_main:  # the others need not wait
        with stop_when_unwritable(run, out):
            write_model(run, out, progress=progress)


def _do_steps(run: Run, out: Path, *, progress: bool) -> None:
    settings, monitor, saved, received = run.settings, LossMonitor(run), time.monotonic(), 0
    minutes = settings.minutes
    log = None
    if run.processes.is_main:
        with stop_when_unwritable(run, out):
            log = LossLog(run, out)
    bar = _make_bar(run, shown=progress)
    start, logged = time.perf_counter() - run.seconds, (run.step, run.seconds)
    upcoming: float | None = find_next_preview(run)
    try:
        with torch.random.fork_rng(devices=[]), Feed(run) as feed, DeferredSignals() as signals:
            while not run.is_done and not received:
                monitor.add(train_step(run, feed.batch(run.step)))
                run.step += 1

                # All processes agree on the time, whether to stop, and what is due.
                late: int = 0 < 60 * settings.checkpoint_minutes < time.monotonic() - saved
                passed = round(1e6 * (time.perf_counter() - start))
                received, late, passed = run.processes.reduce_max(signals.received, late, passed)
                run.seconds = passed / 1e6
                upcoming = find_next_preview(run) if upcoming is None else upcoming
                preview = not received and is_preview_due(run, upcoming)
                due = bool(received or late or run.is_done or run.step % settings.checkpoint_every == 0)
                due = due or (preview and minutes is not None)
                bar.update((run.step if minutes is None else int(run.seconds)) - bar.n)

                # Check losses and weights; where a sheet of samples is due, write it and measure on held-out images.
                logs = due or preview or run.step % LOG_EVERY == 0
                losses = monitor.check() if logs else {}
                if due or preview:
                    check_weights(run)
                if preview:
                    write = partial(write_preview, run, out, is_stopped=lambda: signals.received > 0)
                    _write_on_main(run, out, write)
                    losses |= run.processes.on_main(lambda: measure_held_out(run))
                    upcoming = None  # counted from the next step, since a sheet takes time, too

                # Show the losses.
                if logs:
                    rate = settings.batch * (run.step - logged[0]) / (run.seconds - logged[1])
                    logged = (run.step, run.seconds)
                    bar.set_postfix({**losses, "img/s": f"{rate:.0f}"}, refresh=False)
                    if log:
                        with stop_when_unwritable(run, out):
                            log.write(losses)

                # Save a checkpoint, and a model that can be used meanwhile.
                if due:
                    _write_on_main(run, out, lambda: save_checkpoint(run, out))
                    saved = time.monotonic()
                if received or (preview and not run.is_done):
                    _write_on_main(run, out, lambda: write_model(run, out, finished=False))
    finally:
        bar.close()
        if log:
            log.close()
    if received or signals.received:
        end_by(received or signals.received)


def _make_bar(run: Run, *, shown: bool) -> tqdm[NoReturn]:
    """Make the progress bar, which counts steps, or the seconds of a budget of minutes."""
    minutes = run.settings.minutes
    count, total = (run.step, run.settings.steps) if minutes is None else (int(run.seconds), round(60 * minutes))
    unit = "step" if minutes is None else "s"
    return tqdm(total=total, initial=count, disable=not shown, unit=unit, mininterval=0.5, leave=True)


@contextmanager
def compile_restorer(run: Run) -> Iterator[None]:
    """Compile the restorer at its first call in the block, if the settings say so.

    The critic is not compiled: its gradient penalty needs second derivatives, which compiled code does not support.
    Nor is the network of averaged weights, which is evaluated too rarely.
    """
    if not run.settings.compile:
        yield
        return
    logger.warning("the network is compiled in the first step, which takes minutes on a CPU")
    run.network.compile()
    with explain_compile_errors():
        yield


def _write_on_main(run: Run, out: Path, write: Callable[[], object]) -> None:
    def write_or_stop() -> None:
        with stop_when_unwritable(run, out):
            write()

    run.processes.on_main(write_or_stop)


def _describe_stop(run: Run | None) -> str:
    """Say where a run was stopped, and how to continue it."""
    if run is None or run.step == 0:
        return "stopped before the first step: continue with --resume"
    if not run.is_done:
        return f"stopped at {describe_progress(run)}: continue with --resume"
    return "stopped before the model was written: --resume writes it"


def _say(line: str) -> None:
    print(escape_controls(line), file=sys.stderr)
