"""Write sheets of samples while a network trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from rgmkit.config import build
from rgmkit.core.prior import RestoringPrior
from rgmkit.core.process import ForwardProcess
from rgmkit.core.random import seeded
from rgmkit.runtime.files import write_aside
from rgmkit.training.setup import Run

MOST_LEVELS = 50  # that images are generated from while a network trains
SHOWN = 8  # held-out images on a sheet
FIRST = 10.0  # seconds before the first sheet, if the budget is in minutes
LEAST = 20.0  # seconds between two sheets


def find_next_preview(run: Run) -> float:
    """Return the seconds after which the next sheet of a run with a budget of minutes is due.

    The first is due after 10 seconds, each further one at twice the time of the one before, but at least 20 seconds and
    at most a tenth of the budget later.
    """
    if run.seconds < FIRST:
        return FIRST
    return run.seconds + max(LEAST, min(run.seconds, 6 * (run.settings.minutes or 0)))


def is_preview_due(run: Run, upcoming: float) -> bool:
    """Whether a sheet is due: every `preview_every` steps, or `upcoming` seconds have passed in a budget of minutes."""
    settings = run.settings
    if settings.minutes is None or not settings.preview_every:
        return settings.preview_every > 0 and run.step % settings.preview_every == 0
    return run.is_done or run.seconds >= upcoming


@torch.no_grad()
def measure_held_out(run: Run) -> dict[str, float]:
    """Return the PSNR of restored held-out images, a mean over levels and images; nothing without such images."""
    prior = run.prior()
    if run.held_out is None or not isinstance(prior, RestoringPrior):
        return {}
    metric, found = build("metric", "psnr"), []
    for level in _trained_levels(run):
        _, x_hat, x = _restore_held_out(prior, run.held_out, level)
        found.append(metric(x_hat, x))
    return {"held_out_psnr": float(torch.cat(found).mean())}


def _trained_levels(run: Run) -> list[int]:
    """Return the levels below the last that training draws; the first level if there are none."""
    weights = run.settings.level_weights or (1.0,) * run.process.levels
    return [level for level in range(1, run.process.levels) if weights[level - 1] > 0] or [1]


def _restore_held_out(prior: RestoringPrior, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return degraded, restored and true images of a level, in [0, 1]."""
    x = x.to(prior.device)
    y = prior.degrade(x, level, generator=seeded(0, level))
    return y, prior.restore(y, level, generator=seeded(1, level)).clamp(0, 1), x


class _Stopped(Exception):
    """The run was stopped while the samples were generated."""


def write_preview(run: Run, out: Path, *, is_stopped: Callable[[], bool]) -> None:
    """Write 64 generated images, or generated points drawn over the data, to `out/samples/step-….png`.

    Of a denoiser with held-out images, the sheet shows some of them: degraded, restored, and the originals. Nothing
    is written for a prior that restores nothing, or if the run is stopped while they are generated.
    """
    from rgmkit.inference import generate

    prior = run.prior()
    if not isinstance(prior, RestoringPrior):
        return
    path = out / "samples" / f"step-{run.step:08d}.png"
    points = len(run.data.shape) == 1
    if run.held_out is not None and not prior.generative:
        _draw_restorations(path, prior, run.held_out[:SHOWN], _trained_levels(run))
        return

    def raise_if_stopped(*_: object) -> None:
        if is_stopped():
            raise _Stopped

    try:
        count, solver = 2000 if points else 64, choose_sampler(prior)
        samples = generate(prior, count, solver=solver, seed=0, callback=raise_if_stopped)
    except _Stopped:
        return
    if points:
        draw_points(path, samples.cpu(), run.data.examples(2000))
    else:
        _write_sheet(path, samples)


def _draw_restorations(path: Path, prior: RestoringPrior, x: Tensor, levels: list[int]) -> None:
    """Draw held-out images of the middle level: degraded, restored, and the originals, a row each."""
    with torch.no_grad():
        rows = _restore_held_out(prior, x, levels[len(levels) // 2])
    _write_sheet(path, torch.cat(rows), columns=len(x))


def _write_sheet(path: Path, samples: Tensor, *, columns: int | None = None) -> None:
    from rgmkit import images

    path.parent.mkdir(exist_ok=True)
    enlarge = max(1, 64 // samples.shape[-1])
    images.write(path, images.make_sheet(samples.cpu().clamp(0, 1), columns=columns, enlarge=enlarge)[None])


def choose_sampler(prior: RestoringPrior) -> str:
    """Return the solver that generates: 50 of the levels where there are more, by DDIM if the process can."""
    process = prior.process
    if process.levels <= MOST_LEVELS:
        return "cascade"
    knows = type(process).descend is not ForwardProcess.descend
    return f"cascade:levels={MOST_LEVELS}" + (",eta=0" if knows else "")


def draw_points(path: Path, samples: Tensor, data: Tensor) -> None:
    """Draw a scatter plot of samples over data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    for points, colour, label in ((data, "0.75", "data"), (samples, "tab:red", "samples")):
        axes.scatter(points[:, 0].numpy(), points[:, 1].numpy(), s=2, c=colour, linewidths=0, label=label)
    axes.legend(loc="upper right", markerscale=4)
    with write_aside(path) as part:
        figure.savefig(part, format="png", dpi=100)
