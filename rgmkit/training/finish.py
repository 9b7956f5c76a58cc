"""Finish a run: write the model folder, with metrics of generated images."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from rgmkit import models
from rgmkit.core.prior import RestoringPrior
from rgmkit.errors import RgmkitError
from rgmkit.training.checkpoint import load_last, restore_run
from rgmkit.training.data.base import Data
from rgmkit.training.log import count_parameters, describe_data, describe_progress, draw_losses
from rgmkit.training.preview import choose_sampler, measure_held_out
from rgmkit.training.setup import Run

SAMPLES = 1000


def write_model(run: Run, out: Path, *, progress: bool = True, finished: bool = True) -> None:
    """Write the model folder `out`; if the run is finished, with metrics of the network and a plot of the losses."""
    prior, threads = run.prior(), torch.get_num_threads()
    metrics: dict[str, Any] = {}
    if finished and isinstance(prior, RestoringPrior):
        metrics = evaluate_chains(prior, run.data, progress=progress)
    facts = {
        "data": describe_data(run),
        **({} if run.data.count is None else {"training images": run.data.count}),
        "images seen": run.step * run.settings.batch,
        "parameters": count_parameters(run.network),
        "steps": run.step,
        **({} if finished else {"unfinished": describe_progress(run)}),
        "seed": run.seed,
        "seconds": round(run.seconds, 1),
        "machine": ", ".join([platform.machine(), run.device.type, f"{threads} threads", f"torch {torch.__version__}"]),
        "rgmkit": version("rgmkit"),
        **(measure_held_out(run) if finished else {}),
        "metrics": metrics,
    }
    models.save(out, prior, run.config, facts, files=run.files.found)
    if finished:
        draw_losses(out)


def is_written(run: Run, out: Path) -> bool:
    """Whether `out` holds the complete model of this run at its current step."""
    try:
        facts = models.describe(out)["facts"]
        return "unfinished" not in facts and bool(facts.get("steps") == run.step)
    except RgmkitError:
        return False


def fall_back(run: Run, out: Path) -> str:
    """Write the model of the last good checkpoint of a run that diverged; return a message about it."""
    state = load_last(out)
    assert state is not None  # a checkpoint is written before the first step
    restore_run(run, state, out)
    if run.step == 0:
        return "training stopped, and there is no good checkpoint but that of the initial weights"
    write_model(run, out, progress=False, finished=False)
    return f"training stopped at the last good checkpoint, of step {run.step}, which is the model in {out} now"


def evaluate_chains(
    prior: RestoringPrior, data: Data, *, n: int = SAMPLES, seed: int = 0, progress: bool = False
) -> dict[str, Any]:
    """Evaluate `n` generated images, and those of chains that start at each level from degraded real images.

    The latter show at which level quality degrades: if the metrics drop from one start level to the next, the step
    between the two is the weak one. With more than 50 levels there are none.
    """
    if not data.has_score:
        return {}
    from rgmkit.inference import generate

    real, top = data.examples(n, seed=seed), prior.process.levels
    metrics: dict[str, Any] = {}
    sampler = choose_sampler(prior)
    levels = range(top, -1, -1) if sampler == "cascade" else (top, 0)
    for level in tqdm(levels, desc="evaluating", disable=not progress, leave=False):
        x = real
        if level > 0:
            images = None if level == top else real
            solver = f"cascade:start={level}" if level < top else sampler
            x = generate(prior, n, solver=solver, seed=seed, images=images, progress=False)
        start = "noise" if level == top else f"chain started at level {level}" if level else "real images"
        metrics[start] = {name: float(value) for name, value in data.score(x.cpu()).items()}
    return metrics
