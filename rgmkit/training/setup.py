"""Build all parts of a training run from its configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from rgmkit.config import build, read_spec
from rgmkit.core.objective import Objective, PriorObjective
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.process import ForwardProcess
from rgmkit.errors import ConfigError, describe_error
from rgmkit.models import check_savable
from rgmkit.models.build import Images, build_prior, check_size
from rgmkit.models.files import NamedFiles
from rgmkit.plugins import load_class
from rgmkit.runtime.device import supports_bf16
from rgmkit.runtime.memory import check_memory
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import Configuration
from rgmkit.training.data.base import Data
from rgmkit.training.data.held_out import hold_out
from rgmkit.training.muon import Muon
from rgmkit.training.settings import TrainingSettings
from rgmkit.training.start import find_start_folder, load_start_weights

COPIES = 4  # of the weights, at least: with their average, a gradient and a moment
REFERENCE = 32 * 32 * 3  # values of the images whose fidelity has the weight 1e-3
POWER = math.log(20) / math.log(64)  # with 64 times the values, the weight is a twentieth


@dataclass(eq=False)
class Run:
    """The state of a training run.

    Attributes:
        config: the configuration, which is stored in the model folder.
        process: the forward process.
        processes: the computing processes that share the run.
        average: the network with the averaged weights.
        schedules: learning-rate schedules of the restorer and, if there is one, of the critic.
        held_out: images that are kept out of training; None if there are none.
        files: that the process and the network are built from.
        rows: indices of the rows of each batch that this process computes, part by part.
        step, seconds: number of steps done, and the time they took; the processes agree on the time.
    """

    config: dict[str, Any]
    settings: TrainingSettings
    seed: int
    processes: ProcessGroup
    data: Data
    process: ForwardProcess
    network: nn.Module
    critic: nn.Module | None
    objective: Objective
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer | None
    schedules: list[LambdaLR]
    rows: list[int]
    files: NamedFiles
    held_out: Tensor | None = None
    step: int = 0
    seconds: float = 0.0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.processes.device

    @property
    def fidelity_weight(self) -> float:
        """The weight lambda of the fidelity; by default 0 for estimates that are compared with their own images."""
        if self.settings.fidelity is not None:
            return self.settings.fidelity
        return 0.0 if self.objective.compares_images else default_fidelity(tuple(self.data.shape))

    @property
    def is_done(self) -> bool:
        """Whether the budget of steps or minutes is spent."""
        minutes = self.settings.minutes
        return self.step >= self.settings.steps if minutes is None else self.seconds >= 60 * minutes

    def progress(self, step: int) -> float:
        """Return the spent fraction of the budget without the final steps: of the minutes, or of the steps."""
        settings = self.settings
        if settings.minutes is not None:
            return min(1.0, self.seconds / (60 * settings.minutes))
        return min(1.0, step / (settings.steps - settings.final_steps))

    def stateful_parts(self) -> dict[str, Any]:
        """Return the parts whose state a checkpoint stores, by name."""
        names = ("network", "critic", "average", "optimizer", "critic_optimizer")
        parts = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {**parts, **dict(zip(("schedule", "critic_schedule"), self.schedules, strict=False))}

    def prior(self) -> Prior:
        """Return the prior with the averaged weights, for previews, metrics and the model folder."""
        return self.prior_of(self.average.module).to(self.device).eval()

    def prior_of(self, network: nn.Module) -> Prior:
        """Return the prior of a network."""
        images = Images(tuple(self.data.shape), self.data.center, self.data.scale)
        return build_prior(self.config, process=self.process, network=network, images=images)


def set_up(configuration: Configuration, processes: ProcessGroup) -> Run:
    """Build all parts of the run; the initial weights depend on the seed only.

    Raises:
        ConfigError, PluginError: for an invalid name or value, with its path.
    """
    settings, folder, device = configuration.settings, configuration.folder, processes.device
    objective: Objective = build("objective", configuration.content["objective"], folder=folder)
    config = _choose_parts(configuration.content, objective)
    seed = config["seed"]
    if settings.precision == "bf16" and not supports_bf16(device):
        raise ConfigError(f"training.precision is 'bf16', which the device {str(device)!r} does not have: give float32")

    # The data, the forward process, and the networks with their initial weights.
    data, held_out = build("data", config["data"], folder=folder), None
    if settings.held_out:
        data, held_out = hold_out(data, settings.held_out)
    config = _name_fidelity(config, objective, tuple(data.shape))
    files = NamedFiles(folder, find_start_folder(config.get("start"), folder))
    process = build("process", config["process"], folder=files).to(device)
    given = {"process": process, "image_shape": data.shape, "folder": files}
    check_memory((settings.batch // (processes.size * settings.accumulate), *data.shape), "images of a batch", device)
    with torch.random.fork_rng(devices=[]):
        check_size(config["network"], copies=COPIES, device=device, **given)
        torch.manual_seed(seed)
        network = _own(build("network", config["network"], **given), config["network"])
        if settings.conditional:
            given["image_shape"] = (2 * data.shape[0], *data.shape[1:])
        critic = None
        if objective.needs_critic:
            critic = _own(build("network", config["critic"], path="critic", **given), config["critic"])
    if config.get("start") is not None:
        load_start_weights(network, process, config["start"], folder)
    if not any(weight.requires_grad for weight in network.parameters()):
        raise ConfigError(
            "network has no weights that may change: call its requires_grad_(), or start from a model with start: MODEL"
        )
    if critic is not None and not any(weight.requires_grad for weight in critic.parameters()):
        raise ConfigError("critic has no weights that may change: call its requires_grad_()")
    check_savable(network, config)
    network, critic = _place(network, device, data), None if critic is None else _place(critic, device, data)
    rows = _own_rows(settings, processes, critic)

    # Optimisers, their schedules, and the averaged weights.
    _check_levels_and_channels(settings, process, network, data, critic)
    optimizer = _make_optimizer(network, settings.lr, settings)
    critic_lr = settings.lr if settings.critic_lr is None else settings.critic_lr
    critic_optimizer = None if critic is None else _make_optimizer(critic, critic_lr, settings)
    average = AveragedModel(network, multi_avg_fn=_warm_average(settings.ema))
    average.update_parameters(network)
    run = Run(
        config, settings, seed, processes, data, process, network, critic, objective, average,
        optimizer, critic_optimizer, [], rows, files, held_out,
    )  # fmt: skip
    run.schedules.append(_make_schedule(optimizer, run, critic_first=settings.critic_first))
    if critic_optimizer is not None:
        run.schedules.append(_make_schedule(critic_optimizer, run))
    return run


def default_fidelity(shape: tuple[int, ...]) -> float:
    """Return the default weight of the fidelity: 1e-3 for points, and `1e-3 (3072 / d)^.72` for images of d values.

    That is as published 1e-3 for images 32x32x3 and 5e-5 for 256x256x3.

    >>> [round(default_fidelity(shape), 6) for shape in [(2,), (1, 16, 16), (3, 32, 32), (3, 256, 256)]]
    [0.001, 0.005989, 0.001, 5e-05]
    """
    values = math.prod(shape) if len(shape) > 1 else REFERENCE
    return float(f"{1e-3 * (REFERENCE / values) ** POWER:.4g}")


def _name_fidelity(config: Mapping[str, Any], objective: Objective, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the configuration with the weight of the fidelity, so that a change of the default is not missed."""
    training = dict(config.get("training") or {})
    if training.get("fidelity") is None and not objective.compares_images and len(shape) > 1:
        training["fidelity"] = default_fidelity(shape)
    return {**config, "training": training}


def _choose_parts(content: Mapping[str, Any], objective: Objective) -> dict[str, Any]:
    """Return the configuration with its critic, by default that of the network, and with the prior of the objective."""
    config = dict(content)
    if isinstance(objective, PriorObjective) and config["prior"] == "network":
        config["prior"] = objective.prior
    spec = None if isinstance(objective, PriorObjective) else read_spec(config["prior"])
    if spec is not None and not issubclass(load_class("prior", spec.name), RestoringPrior):
        raise ConfigError(f"prior is {spec.name!r}, which is no network prior that this objective trains: leave it out")
    if not objective.needs_critic:
        if config.pop("critic", None) is not None:
            raise ConfigError("critic is given, and the objective needs none: leave it out, or set it to null")
    elif config.get("critic") is None:
        spec = read_spec(config["network"])
        if spec is None:
            raise ConfigError("critic is missing: a network that is passed as an object needs its critic passed too")
        config["critic"] = f"{spec.name}-discriminator"
    return config


def _own_rows(settings: TrainingSettings, processes: ProcessGroup, critic: nn.Module | None) -> list[int]:
    """Return this process's rows of a batch, part by part; groups of images that a critic compares are not split."""
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
    split = split_rows(settings.batch, parts, group=group)
    first = processes.rank * settings.accumulate
    return [row for part in split[first : first + settings.accumulate] for row in part]


def split_rows(batch: int, parts: int, *, group: int = 1) -> list[list[int]]:
    """Split the rows of a batch into parts of equal length; rows of one group stay together.

    Row i is in group i mod (batch / group), and the same rule holds within each part.

    >>> split_rows(8, 2)
    [[0, 1, 2, 3], [4, 5, 6, 7]]
    >>> split_rows(8, 2, group=2)
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    groups = batch // group
    size = groups // parts
    return [[k * groups + part * size + i for k in range(group) for i in range(size)] for part in range(parts)]


def _own(module: nn.Module, given: Any) -> nn.Module:
    """Return a copy of a module that the user passed, whose weights must not change."""
    try:
        return deepcopy(module) if module is given else module
    except RuntimeError as error:  # of weight_norm, for one
        raise ConfigError(
            f"{type(module).__name__} cannot be copied ({describe_error(error)}): for a norm of weights take "
            f"torch.nn.utils.parametrizations"
        ) from error


def _place(module: nn.Module, device: torch.device, data: Data) -> nn.Module:
    # Convolutions on CPUs and tensor cores are fastest with the channels last in memory.
    module = module.to(device)
    return module.to(memory_format=torch.channels_last) if len(data.shape) == 3 else module


def _check_levels_and_channels(
    settings: TrainingSettings, process: ForwardProcess, network: nn.Module, data: Data, critic: nn.Module | None
) -> None:
    weights = settings.level_weights
    if weights is not None and len(weights) != process.levels:
        raise ConfigError(
            f"training.level_weights has {len(weights)} numbers: give {process.levels}, one for each level"
        )
    if settings.diversity and not getattr(network, "latent", 0):
        raise ConfigError("training.diversity is given, and the network has no z: leave it out, or give it a latent")
    if settings.conditional and critic is None:
        raise ConfigError("training.conditional is true, and the objective has no critic: leave it out")
    if settings.critic_first and critic is None:
        raise ConfigError("training.critic_first is given, and the objective has no critic: leave it out")
    continuous = process.continuous and getattr(network, "continuous", False)
    if settings.between_levels and not continuous:
        raise ConfigError("training.between_levels is true: the process and the network have to be continuous")
    takes_grey = len(data.shape) == 3 and data.shape[0] == 3 and 1 in getattr(network, "channels", ())
    if settings.grey and not (takes_grey and critic is None):
        raise ConfigError(
            f"training.grey is {settings.grey}: the data has to be in colour, the network has to take 1 channel as "
            f"well, and the objective has to be without a critic"
        )


def _make_optimizer(module: nn.Module, lr: float, settings: TrainingSettings) -> torch.optim.Optimizer:
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    if settings.optimizer == "muon":
        return Muon(trained, lr, betas=settings.betas)
    return torch.optim.Adam(trained, lr=lr, betas=settings.betas, fused=True)


def _make_schedule(optimizer: torch.optim.Optimizer, run: Run, *, critic_first: float = 0.0) -> LambdaLR:
    """Make the schedule of a learning rate: warm-up, a cosine, and a second cosine for the final steps."""
    settings = run.settings
    steps, last, start = settings.steps - settings.final_steps, settings.final_steps, optimizer.defaults["lr"]
    end, restart = settings.lr_end / start, settings.final_lr / start

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / (settings.warmup + 1)) * rise(step) * cosine(step)

    def rise(step: int) -> float:
        return min(1.0, max(0.0, run.progress(step) / critic_first - 1)) if critic_first else 1.0

    def cosine(step: int) -> float:
        if step < steps or not last:
            return end + (1 - end) * (1 + math.cos(math.pi * run.progress(step))) / 2
        return end + (restart - end) * (1 + math.cos(math.pi * min(1.0, (step - steps) / last))) / 2

    return LambdaLR(optimizer, factor)


def _warm_average(decay: float) -> Any:
    """Average with decay min(decay, (1 + n)/(10 + n)) after n steps, so that the initial weights fade quickly."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        n = float(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update
