"""What is written when a network is trained: the model folder with its measured figures."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from rgmkit import models
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.random import Streams
from rgmkit.training.data.base import Data
from rgmkit.training.setup import Run

SAMPLES = 1000


def write_model(run: Run, out: Path, *, progress: bool = True) -> None:
    """Measure the averaged network and write the model folder `out`."""
    prior, threads = run.prior(), torch.get_num_threads()
    facts = {
        "data": run.config["data"] if isinstance(run.config["data"], (str, dict)) else type(run.data).__name__,
        "images": run.step * run.settings.batch,
        "steps": run.step,
        "seed": run.seed,
        "seconds": round(run.seconds, 1),
        "machine": ", ".join([platform.machine(), run.device.type, f"{threads} threads", f"torch {torch.__version__}"]),
        "figures": measure(prior, run.data, progress=progress),
    }
    models.save(out, prior, run.config, facts)


def measure(
    prior: RestoringPrior, data: Data, *, n: int = SAMPLES, seed: int = 0, progress: bool = False
) -> dict[str, Any]:
    """Figures of `n` generated images, and of those whose chain starts from real images at level k.

    The second kind says which level to work on: where the figures fall from one level to the next, the
    step between the two is the weak one.
    """
    if type(data).score is Data.score:
        return {}
    device = prior.process.a_by_level.device
    real = data.examples(n, seed=seed).to(device)
    top = prior.process.levels
    figures: dict[str, Any] = {}
    for level in tqdm(range(top, -1, -1), desc="measuring", disable=not progress, leave=False):
        generator = Streams(seed, range(n))
        if level == top:
            start, y = "noise", prior.process.terminal(real.shape, generator=generator, device=device)
        else:
            start, y = f"real level {level}", prior.degrade(real, level, generator=generator)
        x = descend(prior, y, level, generator) if level else real
        figures[start if level else "real images"] = {k: float(v) for k, v in data.score(x.cpu()).items()}
    return figures


@torch.no_grad()
def descend(prior: RestoringPrior, y: torch.Tensor, level: int, generator: Streams) -> torch.Tensor:
    """The generation chain from `y` of `level` down to an image."""
    for s in range(level, 0, -1):
        x = prior.restore(y, s, generator=generator)
        y = prior.degrade(x, s - 1, generator=generator)
    return x
