"""Pass one batch through every part of a run, so that parts that do not fit are found before anything is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from rgmkit.core.objective import Pair, PriorObjective, no_critic
from rgmkit.core.random import randn, seeded
from rgmkit.errors import ConfigError, RgmkitError, describe_error
from rgmkit.runtime.device import synchronize
from rgmkit.runtime.memory import peak_memory
from rgmkit.runtime.modules import evaluation_mode
from rgmkit.training.draws import draw_batch
from rgmkit.training.setup import Run
from rgmkit.training.step import degrade_to_target, train_step

LONGEST = 5.0  # seconds that steps are measured for
MEASURED = 4  # steps: the usual interval between gradient penalties


@dataclass(frozen=True)
class Pace:
    """What one training step takes: seconds, and at most MiB of memory."""

    seconds: float
    mib: float


def measure_steps(run: Run, *, clock: Callable[[], float] = time.perf_counter) -> Pace:
    """Measure the time and the memory of training steps; `run` is unchanged.

    Raises:
        ConfigError: if the accelerator has too little memory.
    """
    before = deepcopy({name: part.state_dict() for name, part in run.stateful_parts().items()})
    times = [clock()]
    try:
        with torch.random.fork_rng(devices=[]), peak_memory(run.device) as peak:
            for step in range(MEASURED + 1):
                train_step(run, draw_batch(run, step))
                synchronize(run.device)
                times.append(clock())
                [late] = run.processes.reduce_max(int(times[-1] - times[0] > LONGEST))
                if late:
                    break
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"training needs more memory than {run.device} has free: give a smaller training.batch, or "
            f"training.accumulate to compute it in parts"
        ) from error
    for name, part in run.stateful_parts().items():
        part.load_state_dict(before[name])
    if len(times) > 2:
        del times[0]  # the first step allocates memory and chooses algorithms
    return Pace((times[-1] - times[0]) / (len(times) - 1), peak.mib)


@torch.no_grad()
def rehearse(run: Run) -> None:
    """Pass the first part of a batch through the process, the networks and the objective; `run` is unchanged.

    Raises:
        ConfigError: naming the part that does not accept its input.
        RgmkitError: any that the data or the process raises.
    """
    settings = run.settings
    run.prior()
    rows = run.rows[: len(run.rows) // settings.accumulate]
    images = run.data.part(rows, settings.batch, seed=run.seed, step=0).to(run.device)
    x = (images - run.data.center) / run.data.scale
    shape, generator = tuple(x.shape[1:]), seeded(run.seed)
    levels = torch.arange(len(x), device=run.device) % run.process.levels + 1
    if isinstance(run.objective, PriorObjective):
        with torch.random.fork_rng(devices=[]), _naming("network", shape), evaluation_mode(run.network):
            run.objective.prior_loss(run.prior_of(run.network), images, generator=generator)
        return
    with torch.random.fork_rng(devices=[]), evaluation_mode(run.network):
        with _naming("process", shape):
            y = run.process.degrade(x, levels, generator=generator)
        with _naming("network", shape):
            z = randn((len(x), getattr(run.network, "latent", 0)), generator=generator, device=run.device)
            x_hat = _as_tensor(run.network(y, levels - 1, z))
        if x_hat.shape != x.shape:
            raise ConfigError(
                f"network: it returns {tuple(x_hat.shape[1:])} for data of shape {shape}: take one that fits"
            )
        late = run.network.state_dict().keys() ^ run.average.module.state_dict().keys()
        if late:
            raise ConfigError(f"network: {min(late)} is made when it is called: make it in the constructor")
        real, fake = x, x_hat
        if run.settings.conditional:
            with _naming("process", shape):
                real, fake = (degrade_to_target(run, each, y, levels, levels - 1, x) for each in (x, x_hat))
        if run.critic is not None:
            _rehearse_critic(run.critic, fake, levels - 1)
        variance, degraded = (run.process.sigma(level) ** 2 for level in (levels - 1, levels))
        pair, critic = Pair(real, fake, levels - 1, variance, degraded), no_critic if run.critic is None else run.critic
        with _naming("objective", shape), evaluation_mode(run.critic or run.network):
            run.objective.restorer_loss(critic, pair)


def _rehearse_critic(critic: nn.Module, x: torch.Tensor, level: torch.Tensor) -> None:
    with _naming("critic", tuple(x.shape[1:])), evaluation_mode(critic):
        judged = _as_tensor(critic(x, level))
    if judged.shape != (len(x),):
        raise ConfigError(
            f"critic: it returns {tuple(judged.shape)} for {len(x)} images: return one number for each, (B,)"
        )


def _as_tensor(found: object) -> torch.Tensor:
    if not isinstance(found, torch.Tensor):
        raise TypeError(f"it returns a {type(found).__name__}, not a tensor")
    return found


@contextmanager
def _naming(part: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Turn whatever a third party's module raises into a ConfigError that names the part."""
    try:
        yield
    except RgmkitError:
        raise
    except Exception as error:
        reason = describe_error(error)
        raise ConfigError(f"{part}: it does not take data of shape {shape} ({reason}): take one that fits") from error
