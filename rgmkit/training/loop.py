"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from rgmkit.config import read_yaml, take_plugins
from rgmkit.core.objective import Pair, no_critic
from rgmkit.errors import TrainingError
from rgmkit.runtime.device import autocast_bf16, seed_global_generators
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.runtime.signals import DeferredSignals, end_by, unwind_on_sigterm
from rgmkit.training.checkpoint import load_last, opened, restore, save_checkpoint
from rgmkit.training.compiled import compiled
from rgmkit.training.draws import Batch
from rgmkit.training.feed import Feed
from rgmkit.training.finish import fall_back, is_written, write_model
from rgmkit.training.guards import Diverged, Guard, writing
from rgmkit.training.log import Log, introduction
from rgmkit.training.preview import write_preview
from rgmkit.training.rehearsal import rehearse
from rgmkit.training.setup import Run, set_up
from rgmkit.training.start import with_defaults

LOOK_EVERY = 20  # steps: reading a number waits for the device

logger = logging.getLogger(__name__)


def train(
    config: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Iterable[str] = (),
    progress: bool = True,
    device: str | torch.device = "cpu",
) -> Path:
    """Train the network that `config` describes; returns the model folder.

    Started by `accelerate launch` or `torchrun`, several processes train together what one would.

    Args:
        config: a YAML file, or the mapping in it; in a mapping, parts may be objects (any `nn.Module` as
            `network` with another as `critic`).
        out: the model folder; `runs/<name of the file>` by default. It must be new or empty.
        resume: go on from the last checkpoint in `out`, if it is there already; the end is the same, bit by bit.
        overrides: `path=value` changes of the configuration, such as `training.steps=100`.
        progress: show a line on the run, and a progress bar, on stderr.
        device: where to train.

    Raises:
        ConfigError: for a configuration that does not fit, a folder that is not empty or in use.
        CheckpointError: for a checkpoint that cannot be resumed.
        TrainingError: for a run that diverges, or that cannot be written; earlier checkpoints are whole.

    >>> import tempfile, rgmkit
    >>> config = {"data": "gmm", "network": "mlp", "training": {"steps": 2, "preview_every": 0}}
    >>> folder = rgmkit.train(config, out=tempfile.mkdtemp(), progress=False)
    >>> rgmkit.generate(rgmkit.load(folder), 3).shape
    torch.Size([3, 2])
    """
    path = None if isinstance(config, Mapping) else Path(config)
    content = dict(config) if isinstance(config, Mapping) else read_yaml(config)
    folder = path.parent if path else Path()
    content = take_plugins(with_defaults(content, list(overrides), folder), folder)
    out = Path(out) if out is not None else Path("runs") / (path.stem if path else "model")
    processes = ProcessGroup.join(device)
    run, threads = None, torch.get_num_threads()
    with unwind_on_sigterm():
        try:
            run = set_up(content, folder=folder, device=processes.device, processes=processes)
            rehearse(run)
            with processes.entered_by_main(opened(out, resume=resume)):
                torch.set_num_threads(run.settings.threads or threads)
                _train(run, out, resume=resume, progress=progress and processes.is_main)
        except KeyboardInterrupt:
            if processes.is_main:
                logger.warning(_stopped(run))
            raise
        finally:
            torch.set_num_threads(threads)
    return out


def _train(run: Run, out: Path, *, resume: bool, progress: bool) -> None:
    state = run.processes.on_main(lambda: load_last(out) if resume else None)
    if state is not None:
        restore(run, state, out)
    else:
        if resume and progress:
            _say(f"note: nothing to resume in {out}: started anew")
        _save(run, out)  # a disk that is full, or cannot be written to, shows now
    if run.step < run.settings.steps:
        if progress:
            _say(introduction(run, out))
        try:
            with compiled(run):
                _loop(run, out, progress=progress)
        except Diverged as error:
            kept = run.processes.on_main(lambda: fall_back(run, out))
            raise TrainingError(f"{error}; {kept}") from error
    elif is_written(run, out):
        if progress:
            _say(f"note: {out} is finished: {run.step} steps are done, and the model is written")
        return
    if run.processes.is_main:  # the others need not wait
        with writing(run, out):
            write_model(run, out, progress=progress)


def _loop(run: Run, out: Path, *, progress: bool) -> None:
    settings, guard, saved, asked = run.settings, Guard(run), time.monotonic(), 0
    log = None
    if run.processes.is_main:
        with writing(run, out):
            log = Log(run, out)
    bar = tqdm(total=settings.steps, initial=run.step, disable=not progress, unit="step", mininterval=0.5, leave=True)
    start, looked = time.perf_counter() - run.seconds, (run.step, run.seconds)
    try:
        with torch.random.fork_rng(devices=[]), Feed(run) as feed, DeferredSignals() as signals:
            while run.step < settings.steps and not asked:
                guard.watch(train_step(run, feed.batch(run.step)))
                run.step += 1
                run.seconds = time.perf_counter() - start
                bar.update()

                # All processes agree on whether to stop, and whether it is time for a checkpoint.
                late = 0 < 60 * settings.checkpoint_minutes < time.monotonic() - saved
                due: int = late or run.step % settings.checkpoint_every == 0 or run.step == settings.steps
                asked, due = run.processes.maximum(signals.received, due or signals.received > 0)

                # The losses are looked at, and shown.
                if due or run.step % LOOK_EVERY == 0:
                    losses = guard.look()
                    rate = settings.batch * (run.step - looked[0]) / (run.seconds - looked[1])
                    looked = (run.step, run.seconds)
                    bar.set_postfix({**losses, "img/s": f"{rate:.0f}"}, refresh=False)
                    if log:
                        with writing(run, out):
                            log.write(losses)
                if settings.preview_every and run.step % settings.preview_every == 0 and not asked:
                    _preview(run, out, signals)

                # What is of use is kept.
                if due:
                    guard.look_at_weights()
                    _save(run, out)
                    saved = time.monotonic()
    finally:
        bar.close()
        if log:
            log.close()
    if asked or signals.received:
        end_by(asked or signals.received)


def _stopped(run: Run | None) -> str:
    """Where a run was stopped, and what to do, for the one who stopped it."""
    if run is None or run.step == 0:
        return "stopped before the first step: go on with --resume"
    if run.step < run.settings.steps:
        return f"stopped at step {run.step} of {run.settings.steps}: go on with --resume"
    return "stopped before the model was written: --resume writes it"


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def train_step(run: Run, batch: Batch) -> dict[str, Tensor]:
    """One step of the critic and one of the restorer on this process's rows of a batch; returns the losses.

    `min_G E[lambda F(x_hat, y_s, s) + g_{s-1}(R_{s-1}(x_hat))]`, `x_hat = G(y_s, s - 1, z)`
    (Choi, Park and Kang 2023, objective of an RGM). Every draw is a function of (seed, step, row).
    """
    # Clean images and all that is drawn for them, in the parts that are computed at a time.
    batch, count = batch.on(run.device), run.settings.accumulate
    parts = replace(batch, x=_channels_last((batch.x - run.data.center) / run.data.scale)).split(count)
    names = ("prior", "fidelity") if run.critic is None else ("critic", "prior", "fidelity")
    losses = {name: torch.zeros((), device=run.device) for name in names}
    answer = None

    # The critic, where there is one, learns to tell answers from data.
    if run.critic is not None and run.critic_optimizer is not None:
        for part in parts:
            with torch.set_grad_enabled(count == 1):
                answer = answered(run, part)
            pair = replace(answer.pair, fake=answer.pair.fake.detach())
            with _precision(run):
                loss = run.objective.critic_loss(run.critic, pair, step=run.step) / count
            _backward(loss, run.critic_optimizer)
            losses["critic"] += loss.detach()
        _descend(run, run.critic_optimizer)

    # The restorer learns from the critic, and to agree with what it was given.
    critic = no_critic if run.critic is None else run.critic
    for part in parts:
        if answer is None or count > 1:  # to keep the graphs of all parts would take the memory of the whole
            answer = answered(run, part)
        with _precision(run):
            prior_loss = run.objective.restorer_loss(critic, answer.pair) / count
        fidelity = run.process.fidelity(answer.x_hat, answer.y, part.level).mean() / count
        _backward(prior_loss + run.fidelity * fidelity, run.optimizer)
        losses["prior"] += prior_loss.detach()
        losses["fidelity"] += fidelity.detach() / part.x[0].numel()
    _descend(run, run.optimizer)

    # The averaged weights follow, and the learning rates go down.
    run.average.update_parameters(run.network)
    for schedule in run.schedules:
        schedule.step()
    return losses


@dataclass(frozen=True, eq=False)
class Answer:
    """Degraded images `y`, the restorer's answers `x_hat`, and both compared, degraded again to a lower level."""

    y: Tensor
    x_hat: Tensor
    pair: Pair


def answered(run: Run, batch: Batch) -> Answer:
    """The restorer's answers to degraded draws of a batch, beside the data at the level that they are judged at."""
    process, target = run.process, batch.target
    seed_global_generators(int(batch.dropout[0]), run.device)  # for dropout; the loop has forked them
    y = process.degrade(batch.x, batch.level, standard_normal=batch.noise)
    with _precision(run):
        x_hat = run.network(_channels_last(y), batch.level - 1, batch.z).float()
    real = _channels_last(process.degrade(batch.x, target, standard_normal=batch.real))
    fake = _channels_last(process.degrade(x_hat, target, standard_normal=batch.fake))
    variances = (process.sigma(level) ** 2 for level in (target, batch.level))
    return Answer(y, x_hat, Pair(real, fake, target, *variances))


def _backward(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    # Gradients of its own parameters only: the other network is passed through, not trained.
    loss.backward(inputs=optimizer.param_groups[0]["params"])


def _descend(run: Run, optimizer: torch.optim.Optimizer) -> None:
    run.processes.average_([p.grad for p in optimizer.param_groups[0]["params"] if p.grad is not None])
    optimizer.step()
    optimizer.zero_grad()


def _save(run: Run, out: Path) -> None:
    def save() -> None:
        with writing(run, out):
            save_checkpoint(run, out)

    run.processes.on_main(save)


def _preview(run: Run, out: Path, signals: DeferredSignals) -> None:
    def preview() -> None:
        with writing(run, out):
            write_preview(run, out, stopped=lambda: signals.received > 0)

    run.processes.on_main(preview)


def _precision(run: Run) -> torch.autocast:
    return autocast_bf16(run.device, run.settings.precision == "bf16")


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
