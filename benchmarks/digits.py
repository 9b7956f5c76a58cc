"""Restore held-out digits with a model: python benchmarks/digits.py [MODEL] --json FILE.

The PSNR on the three tasks of `rgmkit demo`; with `--solvers` the PSNR and the network evaluations of every solver, on
the first 100 held-out digits, and with `--samplers` that of deepinv's samplers on twelve. With `--denoise`, the PSNR
at noise stds between those of the levels. With `--spread`, how far estimates vary with z and with the noise of the
degraded image. `rgmkit evaluate` measures what the model generates.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from pathlib import Path

import torch

import rgmkit
from rgmkit.cli.demo.tasks import TASKS, TV_SOLVER
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")

SOLVERS = ("one-shot", "cascade", "pnp-drs")
ITERATIONS = ("back-projection", "pnp-drs:iterations=4", "pnp-drs:iterations=20")
EVERY_SOLVER = (*SOLVERS, *ITERATIONS, "admm", "drs", "pgd", "fista", "hqs")
EVERY_TASK = (
    "gaussian-noise:noise=0.25",
    "blur:std=1.5,noise=0.05",
    "downsample:factor=2,noise=0.05",
    "inpaint:keep=0.5,noise=0.02",
)

SAMPLERS = (None, "deepinv.DPIR", "deepinv.DiffPIR", "deepinv.DPS")
SAMPLER_TASKS = (
    "gaussian-noise:noise=0.2",
    "blur:std=1,noise=0.05",
    "blur:std=1.5,noise=0.02",
    "downsample:factor=2,noise=0.05",
)
SIGMAS = (0.02, 0.05, 0.12, 0.2, 0.36, 0.53, 1)


def degrade(spec: str, truth: torch.Tensor) -> tuple[rgmkit.Degradation, torch.Tensor]:
    """Build a degradation and measure the images with it."""
    degradation = rgmkit.degradation(spec)
    return degradation, degradation(truth, generator=rgmkit.Streams(0, range(len(truth))))


def restorations(prior: rgmkit.RestoringPrior) -> dict[str, dict[str, float]]:
    """Mean PSNR in dB of each task by each solver, on the held-out digits."""
    truth = Digits(split="held-out").images
    table: dict[str, dict[str, float]] = {}
    for task in TASKS:
        degradation, y = degrade(task.degradation, truth)
        answers = {"before": degradation.embed(y), "tv": rgmkit.restore(y, degradation, task.tv, solver=TV_SOLVER).x}
        answers |= {name: rgmkit.restore(y, degradation, prior, solver=name).x for name in SOLVERS}
        table[task.title] = {name: float(psnr(x.clamp(0, 1), truth).mean()) for name, x in answers.items()}
    return table


def compare_solvers(prior: rgmkit.RestoringPrior) -> None:
    """Print the mean PSNR in dB and the largest number of network evaluations of each solver, as a Markdown table."""
    truth = Digits(split="held-out").images[:100]
    for solver in EVERY_SOLVER:
        cells = []
        for spec in EVERY_TASK:
            degradation, y = degrade(spec, truth)
            restored = rgmkit.restore(y, degradation, prior, solver=solver)
            cells.append(f"{float(psnr(restored.x.clamp(0, 1), truth).mean()):.1f} ({restored.nfe})")
        print(f"| `{solver}` | " + " | ".join(cells) + " |", flush=True)


def compare_samplers(prior: rgmkit.RestoringPrior) -> None:
    """Print the mean PSNR in dB of deepinv's samplers, as a Markdown table."""
    truth = Digits(split="held-out").images[:12]
    for solver in SAMPLERS:
        cells = []
        for spec in SAMPLER_TASKS:
            degradation, y = degrade(spec, truth)
            initial = degradation.initial_estimate(y)
            x = initial if solver is None else rgmkit.restore(y, degradation, prior, solver=solver).x
            cells.append(f"{float(psnr(x.clamp(0, 1), truth).mean()):.1f}")
        print(f"| {'initial estimate' if solver is None else f'`{solver}`'} | {' | '.join(cells)} |", flush=True)


@torch.no_grad()
def measure_denoising(prior: rgmkit.RestoringPrior) -> None:
    """Print the mean PSNR in dB of `denoise` and of the nearest level's estimate, as a Markdown table."""
    truth = Digits(split="held-out").images
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    stds = prior.level_stds
    for sigma in SIGMAS:
        y = truth + sigma * noise
        nearest = stds[(stds.log() - math.log(sigma)).abs().argmin()]
        estimates = (y, prior.denoise(y, float(nearest)), prior.denoise(y, sigma))
        cells = (f"{float(psnr(x.clamp(0, 1) if x is not y else x, truth).mean()):.1f}" for x in estimates)
        print(f"| {sigma:g} | {' | '.join(cells)} |", flush=True)


@torch.no_grad()
def measure_spread(prior: rgmkit.RestoringPrior, *, images: int = 64, draws: int = 16) -> None:
    """Print the std of `G(y_s, z)` over z, each of one `y_s`, and over the noise of `y_s`, by level."""
    process, network, latent = prior.process, prior.network, prior.network.latent
    x = (Digits(split="held-out").images[:images] * 2 - 1).repeat_interleave(draws, 0)
    generator = torch.Generator().manual_seed(0)
    for level in range(1, process.levels + 1):
        levels = torch.full((len(x),), level)
        noise, z = torch.randn(x.shape, generator=generator), torch.randn((len(x), latent), generator=generator)
        spread = []
        for each_noise, each_z in ((_first(noise, draws), z), (noise, _first(z, draws))):
            y = process.degrade(x, levels, standard_normal=each_noise)
            estimates = network(y, levels - 1, each_z).view(images, draws, -1)
            spread.append(float(estimates.var(1).mean().sqrt()) / 2)  # images in [0, 1]
        print(f"level {level}: over z {spread[0]:.4f}, over noise {spread[1]:.4f}, ratio {spread[0] / spread[1]:.2f}")


def _first(draw: torch.Tensor, count: int) -> torch.Tensor:
    return draw[::count].repeat_interleave(count, 0)


def show(table: dict[str, dict[str, float]]) -> None:
    """Print a table of numbers."""
    columns = list(next(iter(table.values())))
    print(f"{'':<36}" + "".join(f"{column:>13}" for column in columns))
    for name, row in table.items():
        print(f"{name:<36}" + "".join(f"{row[column]:>13.3f}" for column in columns))
    print()


def main() -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="digits")
    parser.add_argument("--solvers", action="store_true", help="compare solvers only")
    parser.add_argument("--samplers", action="store_true", help="compare deepinv's samplers only")
    parser.add_argument("--denoise", action="store_true", help="measure the denoiser only")
    parser.add_argument("--spread", action="store_true", help="measure the spread over z only")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    prior = rgmkit.load(given.model)
    for chosen, measure in (
        (given.solvers, compare_solvers),
        (given.samplers, compare_samplers),
        (given.denoise, measure_denoising),
        (given.spread, measure_spread),
    ):
        if chosen:
            measure(prior)
            return
    restored = restorations(prior)
    show(restored)
    if given.json:
        content = {"machine": platform.platform(), "psnr": restored}
        given.json.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
