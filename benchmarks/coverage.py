"""Measure how well posterior draws cover the true images: python benchmarks/coverage.py [MODEL] --json FILE.

Each task is simulated on held-out digits, or on the pictures of a folder, and restored with `samples=64`. Printed are
the fraction of the true values that lie in the intervals of about 80 % by ranks, over all pixels whose spread is above
1/255 and in each tenth of them by spread; the error of the mean over the spread; the PSNR of the mean of 16 draws and
of the restoration without draws; and the network evaluations per draw.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any, Literal

import torch

import rgmkit
from rgmkit.testing import measure_calibration
from rgmkit.training.data.digits import Digits
from rgmkit.training.data.files import Folder

TASKS = (
    "blur:std=1.5,boundary=circular,noise=0.05",
    "downsample:factor=4,noise=0.05",
    "inpaint:keep=0.3,noise=0.05",
    "gaussian-noise:noise=0.2",
)
FEW = 16  # draws whose mean is compared with the restoration without draws

psnr = rgmkit.metric("psnr")


def measure(spec: str, prior: rgmkit.RestoringPrior, truth: torch.Tensor, *, samples: int, seed: int) -> dict[str, Any]:
    """Return the calibration of draws on one task, and the PSNR of their mean and of the single restoration."""
    degradation = rgmkit.degradation(spec)
    y = degradation(truth, generator=rgmkit.Streams(seed, range(len(truth))))
    drawn = rgmkit.restore(y, degradation, prior, samples=samples, seed=seed)
    single = rgmkit.restore(y, degradation, prior, seed=seed)
    row: dict[str, Any] = measure_calibration(drawn.samples, truth)._asdict()
    for name, x in (("mean", drawn.samples[:FEW].mean(0)), ("single", single.x)):
        row[name] = float(psnr(x.clamp(0, 1), truth).mean())
    return row | {"nfe": drawn.nfe / samples}


def main() -> None:
    """Print a line per task and write all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="digits")
    parser.add_argument("--images", type=int, default=32, help="number of images")
    parser.add_argument("--folder", type=Path, help="pictures [default: held-out digits]")
    parser.add_argument("--size", type=int, default=64, help="side of the crops of pictures")
    parser.add_argument("--samples", type=int, default=64, help="draws of each image")
    parser.add_argument("--task", dest="tasks", action="append", metavar="SPEC", help="a degradation; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    prior = rgmkit.load(given.model)
    truth = Digits(split="held-out").images[: given.images]
    if given.folder:
        channels: Literal["rgb", "grey"] = "rgb" if 3 in prior.channels else "grey"
        data = Folder(path=given.folder, size=given.size, crop="random", channels=channels)
        truth = data.batch(given.images, seed=given.seed, step=0)
    print(f"{'task':<33}{'nominal':>8}{'held':>7}{'error/spread':>14}{'mean':>8}{'single':>8}{'NFE':>6}  by spread")
    rows = {}
    for task in given.tasks or TASKS:
        row = rows[task] = measure(task, prior, truth, samples=given.samples, seed=given.seed)
        shown = f"{100 * row['nominal']:8.1f}{100 * row['coverage']:7.1f}{row['error_over_spread']:14.2f}"
        shown += f"{row['mean']:8.2f}{row['single']:8.2f}{row['nfe']:6.1f}  "
        print(f"{task:<33}{shown}" + " ".join(f"{100 * tenth:.0f}" for tenth in row["deciles"]), flush=True)
    if given.json:
        content = {"machine": platform.platform(), "model": given.model, "seed": given.seed, "tasks": rows}
        given.json.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
