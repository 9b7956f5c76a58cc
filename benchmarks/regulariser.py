"""Compare a regulariser with total variation on held-out digits: python benchmarks/regulariser.py MODEL.

MODEL is what `rgmkit train examples/adversarial_regulariser.yaml` writes. Prints the mean PSNR in dB with the default
weight, and with the best of several for these images. The first task is the one that it was trained for.
"""

from __future__ import annotations

import argparse

from torch import Tensor

import rgmkit
from rgmkit.core.solver import Problem
from rgmkit.training.data.digits import Digits

TASKS = (
    "blur:std=1.5,boundary=circular,noise=0.05",
    "blur:std=1.5,boundary=circular,noise=0.1",
    "blur:std=1,boundary=circular,noise=0.05",
    "gaussian-noise:noise=0.25",
)
FACTORS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)  # of the default weight
psnr = rgmkit.metric("psnr")


def default_weight(prior: rgmkit.Prior, degradation: rgmkit.Degradation, y: Tensor) -> float:
    """Return the default weight of a prior for a measurement."""
    weighted = prior.with_default_weight(Problem.from_measurement(y, degradation, prior))
    return float(weighted.weight)


def main() -> None:
    """Print a row per task, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("-n", type=int, default=100, help="images")
    given = parser.parse_args()
    truth = Digits(split="held-out").images[: given.n]
    print("| task | `tv` | best weight | regulariser | best weight |\n|---|---|---|---|---|")
    for task in TASKS:
        degradation, cells = rgmkit.degradation(task), []
        y = degradation(truth, generator=rgmkit.Streams(0, range(len(truth))))
        for spec in ("tv", given.model):
            prior = rgmkit.prior(spec) if spec == "tv" else rgmkit.load(spec)
            weight = default_weight(prior, degradation, y)
            found = []
            for factor in FACTORS:
                prior.weight = factor * weight
                x = rgmkit.restore(y, degradation, prior, progress=False).x
                found.append(float(psnr(x.clamp(0, 1), truth).mean()))
            cells += [found[FACTORS.index(1.0)], max(found)]
        print(f"| `{task}` | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
