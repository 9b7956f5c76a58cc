"""Pass one batch through every part of a run, so that parts that do not fit are found before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from rgmkit.core.objective import Pair, PriorObjective, no_critic
from rgmkit.core.random import randn, seeded
from rgmkit.errors import ConfigError, RgmkitError, describe_error
from rgmkit.runtime.modules import evaluation_mode
from rgmkit.training.setup import Run


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
            x_hat = run.network(y, levels - 1, z)
        if x_hat.shape != x.shape:
            raise ConfigError(
                f"network: it returns {tuple(x_hat.shape[1:])} for data of shape {shape}: take one that fits"
            )
        if run.critic is not None:
            _rehearse_critic(run.critic, x_hat, levels - 1)
        variance, degraded = (run.process.sigma(level) ** 2 for level in (levels - 1, levels))
        pair, critic = Pair(x, x_hat, levels - 1, variance, degraded), no_critic if run.critic is None else run.critic
        with _naming("objective", shape), evaluation_mode(run.critic or run.network):
            run.objective.restorer_loss(critic, pair)


def _rehearse_critic(critic: nn.Module, x: torch.Tensor, level: torch.Tensor) -> None:
    with _naming("critic", tuple(x.shape[1:])), evaluation_mode(critic):
        judged = critic(x, level)
    if judged.shape != (len(x),):
        raise ConfigError(
            f"critic: it returns {tuple(judged.shape)} for {len(x)} images: return one number for each, (B,)"
        )


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
