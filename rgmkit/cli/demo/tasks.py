"""The restoration tasks of the demonstration, and their results."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rgmkit.config import build, metric
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import Prior
from rgmkit.core.random import Streams
from rgmkit.inference import restore

TV_SOLVER = "pgd"  # 100 iterations stop before convergence; the minimiser has 1 dB less on digits
NETWORK_SOLVER = "pnp-drs:iterations=4"  # at most 8 network evaluations


@dataclass(frozen=True)
class Task:
    """A degradation of digits, and the TV prior to compare with.

    Attributes:
        title: in words.
        degradation: a spec.
        tv: a spec; its weight gives the best mean PSNR on training digits with `TV_SOLVER`.
    """

    title: str
    degradation: str
    tv: str


TASKS = (
    Task("Denoising: noise 0.25", "gaussian-noise:noise=0.25", "tv:weight=2.5"),
    Task("Deblurring: std 1.5 pixels, noise 0.05", "blur:std=1.5,boundary=circular,noise=0.05", "tv:weight=1"),
    Task("Super-resolution by 2: noise 0.05", "downsample:factor=2,noise=0.05", "tv:weight=2.5"),
)


@dataclass(frozen=True)
class Row:
    """The result of one task.

    Attributes:
        before, tv, network: mean PSNR in dB of the measurement (enlarged to the size of the image), of
            total variation and of the network.
        nfe: network evaluations per digit.
        seconds: of the network, for all digits.
        stages: true digits, measurements, and restorations by total variation and by the network, in [0, 1].
    """

    task: Task
    before: float
    tv: float
    network: float
    nfe: int
    seconds: float
    stages: tuple[Tensor, Tensor, Tensor, Tensor]


def solve_task(task: Task, network: Prior, truth: Tensor, *, seed: int) -> Row:
    """Degrade `truth` as the task says, and restore it with the network and with total variation."""
    degradation: Degradation = build("degradation", task.degradation)
    y = degradation(truth, generator=Streams(seed, range(len(truth))))
    learned = restore(y, degradation, network, solver=NETWORK_SOLVER, seed=seed)
    smooth = restore(y, degradation, task.tv, solver=TV_SOLVER)
    measured, by_tv, by_network = (x.clamp(0, 1) for x in (degradation.embed(y), smooth.x, learned.x))
    before, tv, net = (float(metric("psnr")(x, truth).mean()) for x in (measured, by_tv, by_network))
    return Row(task, before, tv, net, learned.nfe, learned.seconds, (truth, measured, by_tv, by_network))
