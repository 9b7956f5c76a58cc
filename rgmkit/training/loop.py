"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from rgmkit.config import override, read_yaml, take_plugins
from rgmkit.core.objective import Pair
from rgmkit.core.random import randn, seeded
from rgmkit.training.checkpoint import open_folder, save_checkpoint
from rgmkit.training.finish import write_model
from rgmkit.training.log import Log
from rgmkit.training.preview import write_preview
from rgmkit.training.rehearsal import rehearse
from rgmkit.training.setup import DEFAULTS, Run, set_up


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

    Args:
        config: a YAML file, or the mapping in it; in a mapping, parts may be objects (any `nn.Module` as
            `network` with another as `critic`).
        out: the model folder; `runs/<name of the file>` by default. It must be new or empty.
        resume: go on from the last checkpoint in `out`; the end is the same, bit by bit.
        overrides: `path=value` changes of the configuration, such as `training.steps=100`.
        progress: show a progress bar on stderr.
        device: where to train.

    Raises:
        ConfigError: for a configuration that does not fit, or a folder that is not empty.
        CheckpointError: for a checkpoint that cannot be resumed.

    >>> import tempfile, rgmkit
    >>> config = {"data": "gmm", "network": "mlp", "training": {"steps": 2, "preview_every": 0}}
    >>> folder = rgmkit.train(config, out=tempfile.mkdtemp(), progress=False)
    >>> rgmkit.generate(rgmkit.load(folder), 3).shape
    torch.Size([3, 2])
    """
    path = None if isinstance(config, Mapping) else Path(config)
    content = dict(config) if isinstance(config, Mapping) else read_yaml(config)
    folder = path.parent if path else Path()
    content = take_plugins(override({**DEFAULTS, **content}, overrides), folder)
    out = Path(out) if out is not None else Path("runs") / (path.stem if path else "model")
    run = set_up(content, folder=folder, device=torch.device(device))
    rehearse(run)
    open_folder(out, run, resume=resume)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(run.settings.threads or threads)
        _loop(run, out, progress=progress)
    finally:
        torch.set_num_threads(threads)
    return out


def _loop(run: Run, out: Path, *, progress: bool) -> None:
    settings, first = run.settings, run.step
    log = Log(out / "log")
    bar = tqdm(total=settings.steps, initial=first, disable=not progress, unit="step", mininterval=0.5, leave=True)
    start = time.perf_counter() - run.seconds
    try:
        with torch.random.fork_rng(devices=[]):
            while run.step < settings.steps:
                losses = train_step(run)
                run.step += 1
                run.seconds = time.perf_counter() - start
                bar.update()
                if run.step % 20 == 0:
                    log.write(run.step, losses)
                    rate = bar.format_dict["rate"] or 0.0
                    bar.set_postfix({**losses, "img/s": f"{rate * settings.batch:.0f}"}, refresh=False)
                if settings.preview_every and run.step % settings.preview_every == 0:
                    write_preview(run, out)
                if run.step % settings.checkpoint_every == 0:
                    save_checkpoint(run, out)
    except KeyboardInterrupt:
        save_checkpoint(run, out)
        raise
    finally:
        bar.close()
        log.close()
    save_checkpoint(run, out)
    write_model(run, out, progress=progress)


def train_step(run: Run) -> dict[str, float]:
    """One step of the critic and one of the restorer, over one forward pass of the restorer.

    `min_G E[lambda F(x_hat, y_s, s) + g_{s-1}(R_{s-1}(x_hat))]`, `x_hat = G(y_s, s - 1, z)`
    (Choi, Park and Kang 2023, objective of an RGM). Every draw is a function of (seed, step).
    """
    settings, process, step = run.settings, run.process, run.step
    generator = seeded(run.seed, step)
    _seed_dropout(int(torch.randint(2**62, (), generator=generator)), run.device)

    # Clean images, each with a level and a degraded draw of it.
    x = run.data.batch(settings.batch, seed=run.seed, step=step).to(run.device)
    x = _channels_last((x - run.data.center) / run.data.scale)
    level = stratified_levels(run, generator).to(run.device)
    y = process.degrade(x, level, generator=generator)
    z = randn((len(x), getattr(run.network, "latent", 0)), generator=generator, device=run.device)

    # The restorer's answers, degraded again to one level down, beside the data at that level.
    with _precision(run):
        x_hat = run.network(_channels_last(y), level - 1, z).float()
    spread = settings.spread if step < settings.steps - settings.final_steps else 0.0
    target = judged_levels(level - 1, spread, generator)
    sigma = process.sigma(target)
    real = _channels_last(process.degrade(x, target, generator=generator))
    fake = _channels_last(process.degrade(x_hat, target, generator=generator))

    # The critic learns to tell them apart.
    with _precision(run):
        critic_loss = run.objective.critic_loss(run.critic, Pair(real, fake.detach(), target, sigma**2), step=step)
    _descend(critic_loss, run.critic_optimizer)

    # The restorer learns from the critic, and to agree with what it was given.
    with _precision(run):
        prior_loss = run.objective.restorer_loss(run.critic, Pair(real, fake, target, sigma**2))
    fidelity = process.fidelity(x_hat, y, level).mean()
    _descend(prior_loss + settings.fidelity * fidelity, run.optimizer)

    # The averaged weights follow, and the learning rates go down.
    run.average.update_parameters(run.network)
    for schedule in run.schedules:
        schedule.step()
    if step % 20 == 19:  # reading a number waits for the device
        losses = {"critic": critic_loss, "prior": prior_loss, "fidelity": fidelity / x[0].numel()}
        return {name: float(loss.detach()) for name, loss in losses.items()}
    return {}


def stratified_levels(run: Run, generator: torch.Generator) -> Tensor:
    """A level 1 … T for each image of a batch, int64 (B,): in their proportions in every single batch."""
    weights = run.settings.level_weights or (1.0,) * run.process.levels
    bounds = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    size = run.settings.batch
    points = (torch.arange(size) + torch.rand(1, generator=generator, dtype=torch.float64)) / size
    level = torch.searchsorted(bounds / bounds[-1], points, right=True)
    return level.clamp(max=run.process.levels - 1) + 1


def judged_levels(target: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """The level at which each answer is compared with data: its target, or for a share `spread` one drawn from 0 … it.

    An answer that is a draw of the posterior looks like data at every level, also at those with less
    noise, where the critic sees more of it (as the published objective has it, spread is 0).
    """
    if spread == 0:
        return target
    chance, below = torch.rand(2, len(target), generator=generator).to(target.device)
    return torch.where(chance < spread, (below * (target + 1)).long(), target)


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    # Gradients of its own parameters only: the other network is passed through, not trained.
    loss.backward(inputs=optimizer.param_groups[0]["params"])
    optimizer.step()


def _seed_dropout(seed: int, device: torch.device) -> None:
    """Dropout draws from torch's global generators (forked by the loop), which follow the step, too."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _precision(run: Run) -> torch.autocast:
    return torch.autocast(run.device.type, torch.bfloat16, enabled=run.settings.precision == "bf16")


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
