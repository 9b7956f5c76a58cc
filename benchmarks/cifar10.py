"""Restore 300 test pictures with a model, and by total variation: python benchmarks/cifar10.py CIFAR10 MODEL.

CIFAR10 has the pictures in train/CLASS and test/CLASS. Printed is the mean PSNR in dB. The weight of total variation is
the best of a grid for 40 training pictures. `--picture FILE` shows twelve of them: for each task a row of measurements
and a row of restorations, and the pictures themselves at the end. `rgmkit evaluate` measures what the model generates.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import rgmkit
from rgmkit.images.sheet import make_sheet
from rgmkit.training.data.files import Folder

TASKS = {
    "super-resolution by 2": "downsample:factor=2,noise=0.02",
    "super-resolution by 4": "downsample:factor=4,noise=0.02",
    "colour from grey": "grayscale:noise=0.02",
    "blur of std 1.5": "blur:std=1.5,noise=0.02",
    "half of the pixels missing": "inpaint:keep=0.5,noise=0.02",
    "noise 0.1": "gaussian-noise:noise=0.1",
}
WEIGHTS = (0.3, 1, 3, 10, 30)
SOLVERS = ("one-shot", "cascade", "pnp-drs")

psnr = rgmkit.metric("psnr")


def read(folder: Path, count: int) -> torch.Tensor:
    """Return `count` pictures, evenly spaced in the sorted list of files."""
    data = Folder(path=folder, size=32)
    return data.take(torch.arange(count) * len(data) // count, torch.Generator())


def measure(truth: torch.Tensor, task: str, prior: str | rgmkit.Prior, **options: str | int) -> float:
    """Return the mean PSNR of restorations, in dB."""
    degradation = rgmkit.degradation(task)
    y = degradation(truth, generator=rgmkit.Streams(0, range(len(truth))))
    return float(psnr(rgmkit.restore(y, degradation, prior, **options).x.clamp(0, 1), truth).mean())


def draw(truth: torch.Tensor, prior: rgmkit.Prior, file: Path) -> None:
    """Write a sheet of measurements and restorations with the default solver."""
    rows = []
    for task in TASKS.values():
        degradation = rgmkit.degradation(task)
        y = degradation(truth, generator=rgmkit.Streams(0, range(len(truth))))
        rows += [degradation.embed(y).clamp(0, 1).expand_as(truth), rgmkit.restore(y, degradation, prior).x.clamp(0, 1)]
    rgmkit.write(file, make_sheet(torch.cat([*rows, truth]), columns=len(truth), enlarge=2))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", type=Path, help="folder of the pictures")
    parser.add_argument("model", help="a model of 32x32 colour pictures")
    parser.add_argument("--count", type=int, default=300, help="test pictures")
    parser.add_argument("--picture", type=Path, help="file of a picture to write, in place of the table")
    given = parser.parse_args()
    prior = rgmkit.load(given.model)
    if given.picture:
        draw(read(given.cifar10 / "test", 12), prior, given.picture)
        return
    truth, training = read(given.cifar10 / "test", given.count), read(given.cifar10 / "train", 40)
    print("| task | TV (weight) | " + " | ".join(SOLVERS) + " |")
    print("|---|---|" + "---|" * len(SOLVERS))
    for name, task in TASKS.items():
        best = max(WEIGHTS, key=lambda weight: measure(training, task, f"tv:weight={weight}"))
        cells = [f"{measure(truth, task, f'tv:weight={best}'):.1f} ({best:g})"]
        cells += [f"{measure(truth, task, prior, solver=solver):.1f}" for solver in SOLVERS]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
