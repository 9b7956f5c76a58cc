"""Measure the peak memory of restoring a photograph of 3000 x 2000 pixels: python benchmarks/memory.py --json FILE.

Each case runs in a fresh process: total variation, and a network in tiles (the shipped `digits` model, channel by
channel; trained on digits, it shows the cost of a learned prior, not its benefit). The photograph is scikit-image's
coffee in colour, mirrored to fill the size, blurred and noisy. The peak is the largest resident set of the process,
libraries included; PSNR is computed after it is read.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

DEGRADATION = "blur:std=2,boundary=circular,noise=0.02"
CASES = {
    "tv": {"prior": "tv:coupled=false", "solver": "admm:iterations=8"},
    "tv, reflected border": {"prior": "tv:coupled=false", "solver": "pgd:iterations=2,step=7e-4"},
    "digits, in tiles": {"prior": "digits", "solver": "pnp-drs:alpha=0.05,iterations=4"},
}
LIMIT = 4e9  # bytes


def photograph(height: int, width: int) -> np.ndarray:
    """Return a colour photograph (H, W, 3), uint8: coffee, mirrored at its borders."""
    from skimage import data

    coffee = data.coffee()
    rows, columns = coffee.shape[:2]
    return np.pad(coffee, ((0, max(0, height - rows)), (0, max(0, width - columns)), (0, 0)), "reflect")[
        :height, :width
    ]


def run(case: str, height: int, width: int, tile: int | None) -> dict[str, Any]:
    """Restore in this process, and return time, memory and PSNR."""
    import torch

    import rgmkit
    from rgmkit.images.array_layout import unpack

    spec = DEGRADATION.replace("circular", "mirror") if "reflected" in case else DEGRADATION
    truth = unpack(photograph(height, width))[0]
    with torch.no_grad():
        y = rgmkit.degradation(spec)(truth, generator=rgmkit.Streams(0, [0]))
    before = peak()
    start, seen = time.perf_counter(), 0

    def show(step: int, steps: int, x: object) -> None:
        nonlocal seen
        seen, seconds = step, time.perf_counter() - start
        print(f"\r{case}: step {step}/{steps}, {step / seconds:.3f} steps/s", end="", file=sys.stderr, flush=True)

    solution = rgmkit.restore(y, spec, **CASES[case], tile=tile, callback=show)
    print(file=sys.stderr)
    psnr = rgmkit.metric("psnr")
    figures = {"peak": peak(), "before": before, "steps": seen, "seconds": solution.seconds, "nfe": solution.nfe}
    quality = {"measured": float(psnr(y.clamp(0, 1), truth)), "restored": float(psnr(solution.x.clamp(0, 1), truth))}
    return {**CASES[case], "degradation": spec, **figures, "psnr": quality, "notes": solution.notes}


def peak() -> int:
    """Return the largest resident set of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Print a row per case, write all as JSON, and exit with 1 if one needs 4 GB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--height", type=int, default=2000)
    parser.add_argument("--width", type=int, default=3000)
    parser.add_argument("--tile", type=int)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    size = (given.height, given.width, given.tile)
    with get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:  # a new process for each case
        rows = {case: fresh.apply(run, (case, *size)) for case in given.cases}
    print(f"{'':<24}{'peak GB':>9}{'seconds':>9}{'steps':>7}{'steps/s':>9}{'PSNR dB':>16}")
    for case, row in rows.items():
        quality = " -> ".join(f"{value:.2f}" for value in row["psnr"].values())
        rate = row["steps"] / row["seconds"]
        print(f"{case:<24}{row['peak'] / 1e9:>9.2f}{row['seconds']:>9.0f}{row['steps']:>7}{rate:>9.3f}{quality:>16}")
    if given.json:
        threads = os.environ.get("OMP_NUM_THREADS")
        machine = {"platform": platform.platform(), "cores": os.cpu_count(), "threads": threads}
        content = {"machine": machine, "height": given.height, "width": given.width, "cases": rows}
        given.json.write_text(json.dumps(content, indent=2))
    sys.exit(any(row["peak"] >= LIMIT for row in rows.values()))


if __name__ == "__main__":
    main()
