"""Demosaicing and JPEG: the mean PSNR of central crops of the pictures in a folder.

python benchmarks/cameras.py demosaicing Kodak24 [--limit 5] [--size 160]
python benchmarks/cameras.py jpeg classic5 [--limit 5] [--size 160]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

import rgmkit
from rgmkit.images import read

SPECS = {
    "demosaicing": ("bayer:noise=0.002", "bayer:noise=0.01", "bayer:noise=0.05"),
    "jpeg": ("jpeg:quality=10", "jpeg:quality=30", "jpeg:quality=75"),
}
PRIORS = ("tv", "photographs")


def read_crops(folder: Path, limit: int, size: int) -> Iterable[Tensor]:
    """Read the central squares of the first pictures."""
    for path in sorted(folder.iterdir())[:limit]:
        x = read(path).x
        top, left = ((side - size) // 2 for side in x.shape[-2:])
        yield x[..., top : top + size, left : left + size]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=SPECS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=5)
    parser.add_argument("--size", type=int, default=160)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    psnr, crops = rgmkit.metric("psnr"), list(read_crops(arguments.folder, arguments.limit, arguments.size))
    priors = {"tv": rgmkit.prior("tv"), "photographs": rgmkit.load("photographs")}
    methods: dict[str, Callable[[rgmkit.Degradation, Tensor], Tensor]] = {"measured": lambda d, y: d.embed(y)}
    if arguments.task == "demosaicing":
        methods = {"bilinear": methods["measured"], "linear filters": lambda d, y: d.initial_estimate(y)}
    for name in PRIORS:
        methods[name] = lambda d, y, prior=priors[name]: rgmkit.restore(y, d, prior, progress=False).x
    print("| degradation | " + " | ".join(methods) + " |\n" + "|---" * (1 + len(methods)) + "|")
    for spec in SPECS[arguments.task]:
        degradation = rgmkit.degradation(spec)
        pairs = [(x, degradation(x, generator=rgmkit.Streams(0, [i]))) for i, x in enumerate(crops)]
        means = [
            torch.cat([psnr(restore(degradation, y).clamp(0, 1), x) for x, y in pairs]).mean()
            for restore in methods.values()
        ]
        print(f"| `{spec}` | " + " | ".join(f"{mean:.1f}" for mean in means) + " |", flush=True)


if __name__ == "__main__":
    main()
