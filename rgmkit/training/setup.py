"""From a configuration to everything that a training run consists of."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from rgmkit.config import build, make
from rgmkit.core.objective import Objective
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.process import ForwardProcess
from rgmkit.errors import ConfigError
from rgmkit.runtime.device import supports_bf16
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.data.base import Data
from rgmkit.training.settings import Settings
from rgmkit.training.start import DEFAULTS, load_start

KEYS = ("data", "prior", "process", "network", "critic", "objective", "training", "seed", "start", "plugins", "images")


@dataclass(eq=False)
class Run:
    """A training run: what is trained, on what, and how far it has come."""

    config: dict[str, Any]
    settings: Settings
    seed: int
    device: torch.device
    data: Data
    process: ForwardProcess
    network: nn.Module
    critic: nn.Module | None
    objective: Objective
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer | None
    schedules: list[LambdaLR]  # of the restorer, and of the critic
    processes: ProcessGroup
    rows: list[int]  # of a batch, those that this process computes, part by part
    step: int = 0
    seconds: float = 0.0

    def parts(self) -> dict[str, Any]:
        """Everything with a state that a checkpoint keeps, by name."""
        names = ("network", "critic", "average", "optimizer", "critic_optimizer")
        parts = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {**parts, **dict(zip(("schedule", "critic_schedule"), self.schedules, strict=False))}

    @property
    def fidelity(self) -> float:
        """The weight lambda of the fidelity. Without a critic it would only draw an answer to its noise."""
        if self.settings.fidelity is not None:
            return self.settings.fidelity
        return 1e-3 if self.objective.needs_critic else 0.0

    def prior(self) -> RestoringPrior:
        """The prior with the averaged weights: what previews, figures and model folders are made of."""
        return make_prior(self.config, self.process, self.average.module, data=self.data)


def set_up(
    config: Mapping[str, Any], *, folder: Path, device: torch.device, processes: ProcessGroup | None = None
) -> Run:
    """Build everything that `config` names; the networks' first weights depend on the seed only.

    Raises:
        ConfigError: for a key, a name or a value that does not fit, with its path.
    """
    processes = ProcessGroup(device) if processes is None else processes
    objective = build("objective", config.get("objective", DEFAULTS["objective"]), folder=folder)
    config = complete(config, objective)
    settings = make(Settings, config.get("training") or {}, path="training")
    if settings.precision == "bf16" and not supports_bf16(device):
        raise ConfigError(f"training.precision is 'bf16', which the device {str(device)!r} does not have: give float32")
    seed = config["seed"]
    if not isinstance(seed, int):
        raise ConfigError(f"seed is {seed!r}: give a whole number")
    data = build("data", config["data"], folder=folder)
    process = build("process", config["process"], folder=folder).to(device)
    for_networks = {"process": process, "image_shape": data.shape, "folder": folder}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build("network", config["network"], **for_networks)
        critic = build("network", config["critic"], path="critic", **for_networks) if objective.needs_critic else None
    if config.get("start") is not None:
        load_start(network, config["start"], folder)
    if not any(weight.requires_grad for weight in network.parameters()):
        raise ConfigError(
            "network has no weights that may change: call its requires_grad_(), or start from a model with start: MODEL"
        )
    network, critic = _placed(network, device, data), None if critic is None else _placed(critic, device, data)
    rows = _rows(settings, processes, critic)
    optimizer = _adam(network, settings.lr, settings)
    critic_lr = settings.lr if settings.critic_lr is None else settings.critic_lr
    critic_optimizer = None if critic is None else _adam(critic, critic_lr, settings)
    schedules = [_cosine(each, settings) for each in (optimizer, critic_optimizer) if each is not None]
    average = AveragedModel(network, multi_avg_fn=_warm_ema(settings.ema))
    average.update_parameters(network)
    return Run(
        config, settings, seed, device, data, process, network, critic, objective, average,
        optimizer, critic_optimizer, schedules, processes, rows,
    )  # fmt: skip


def _rows(settings: Settings, processes: ProcessGroup, critic: nn.Module | None) -> list[int]:
    """What this process computes of a batch, part by part; no group that the critic compares is torn apart."""
    parts = processes.size * settings.accumulate
    if parts == 1:
        return list(range(settings.batch))
    group = getattr(critic, "group", settings.batch) if getattr(critic, "compares_batch", False) else 1
    if settings.batch % (group * parts):
        compared = f", and the critic compares {group} images with each other" if group > 1 else ""
        count = f"{processes.size} processes" if processes.size > 1 else "one process"
        raise ConfigError(
            f"training: batch is {settings.batch} for {count} with accumulate {settings.accumulate}"
            f"{compared}: give a multiple of {group * parts}"
        )
    shares = shared(settings.batch, parts, group=group)
    first = processes.rank * settings.accumulate
    return [row for share in shares[first : first + settings.accumulate] for row in share]


def shared(batch: int, parts: int, *, group: int = 1) -> list[list[int]]:
    """The rows of a batch in parts of equal length, with groups whole: row i is in group `i mod (batch / group)`.

    In each part, a group is found by the same rule.

    >>> shared(8, 2)
    [[0, 1, 2, 3], [4, 5, 6, 7]]
    >>> shared(8, 2, group=2)
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    groups = batch // group
    size = groups // parts
    return [[k * groups + part * size + i for k in range(group) for i in range(size)] for part in range(parts)]


def complete(config: Mapping[str, Any], objective: Objective) -> dict[str, Any]:
    """`config` with its defaults; the critic defaults to the discriminator that belongs to the network."""
    for key in config:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"{key} is not a part of a training configuration: {hint}(it has {', '.join(KEYS)})")
    full = {**DEFAULTS, **config}
    for key in ("data", "network"):
        if full.get(key) is None:
            raise ConfigError(f"{key} is missing: name the {key} to train {'on' if key == 'data' else ''}".rstrip())
    if not objective.needs_critic:
        if full.pop("critic", None) is not None:
            raise ConfigError("critic is given, and the objective needs none: leave it out, or set it to null")
    elif full.get("critic") is None:
        full["critic"] = f"{_name(full['network'])}-discriminator"
    return full


def make_prior(
    config: Mapping[str, Any], process: ForwardProcess, network: nn.Module, *, data: Data | None = None
) -> RestoringPrior:
    """The prior that `config` names, over a network; the range of the images is the data's or the config's."""
    images = config.get("images") or {}
    shape = data.shape if data else images.get("shape")
    center = data.center if data else images.get("center", 0.5)
    scale = data.scale if data else images.get("scale", 0.5)
    prior = build(
        "prior", config.get("prior", "network"), process=process, network=network,
        image_shape=None if shape is None else tuple(shape), center=center, scale=scale,
    )  # fmt: skip
    if not isinstance(prior, RestoringPrior):
        raise ConfigError(f"prior is {config.get('prior')!r}, which has no network to train: take 'network'")
    return prior.to(process.a_by_level.device).eval()


def _name(spec: Any) -> str:
    if isinstance(spec, Mapping):
        return str(spec.get("use"))
    if isinstance(spec, str):
        return spec.partition(":")[0]
    raise ConfigError("critic is missing: a network that is passed as an object needs its critic passed too")


def _placed(module: nn.Module, device: torch.device, data: Data) -> nn.Module:
    # Convolutions on the CPU and on tensor cores are quickest with the channels last in memory.
    module = module.to(device)
    return module.to(memory_format=torch.channels_last) if len(data.shape) == 3 else module


def _adam(module: nn.Module, lr: float, settings: Settings) -> torch.optim.Optimizer:
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    return torch.optim.Adam(trained, lr=lr, betas=settings.betas, fused=True)


def _cosine(optimizer: torch.optim.Optimizer, settings: Settings) -> LambdaLR:
    steps, last, start = settings.steps - settings.final_steps, settings.final_steps, optimizer.defaults["lr"]
    end, restart = settings.lr_end / start, settings.final_lr / start

    def share(step: int) -> float:
        if step < steps or not last:
            return end + (1 - end) * (1 + math.cos(math.pi * min(1.0, step / steps))) / 2
        return restart * (1 + math.cos(math.pi * min(1.0, (step - steps) / last))) / 2

    return LambdaLR(optimizer, share)


def _warm_ema(decay: float) -> Any:
    """An average that is short at the start, min(decay, (1 + n)/(10 + n)): else it remembers the first weights."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        n = float(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update
