"""Photographs that were blurred before they were cropped, restored with each boundary of `blur`.

python benchmarks/borders.py BSDS/val [--limit 20] [--size 96] [--picture FILE]

Printed is the mean PSNR in the frame of the measurement and, in parentheses, in the 8 pixels along its border. The
picture shows one photograph: as measured, and as restored by the network with circular, reflect and valid.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
from torch import Tensor

import rgmkit
from rgmkit.images import make_sheet, read, write

BOUNDARIES = ("circular", "mirror", "replicate", "reflect", "valid")
BLURS = {
    "Gaussian, std 2": "blur:std=2,noise=0.01",
    "motion, 13 pixels at 30 degrees": "blur:kernel=motion,length=13,angle=30,noise=0.01",
}
PRIORS = ("tv", "photographs")
RIM = 8


def measure(photograph: Tensor, size: int, spec: str) -> tuple[Tensor, Tensor]:
    """Return the central crop of a photograph, and its measurement: blurred with what lies around it."""
    blur = rgmkit.degradation(f"{spec},boundary=valid")
    height, width = blur.image_shape((1, 3, size, size))[-2:]
    top, left = ((side - of) // 2 for side, of in zip(photograph.shape[-2:], (height, width), strict=True))
    y = blur(photograph[..., top : top + height, left : left + width], generator=rgmkit.Streams(0, [0]))
    rows, columns = (height - size) // 2, (width - size) // 2
    return photograph[..., top + rows : top + rows + size, left + columns : left + columns + size], y


def restore(y: Tensor, spec: str, boundary: str, prior: rgmkit.Prior) -> Tensor:
    """Restore a measurement and crop the restoration to its frame."""
    x = rgmkit.restore(y, rgmkit.degradation(f"{spec},boundary={boundary}"), prior, progress=False).x
    rows, columns = ((a - b) // 2 for a, b in zip(x.shape[-2:], y.shape[-2:], strict=True))
    return x[..., rows : rows + y.shape[-2], columns : columns + y.shape[-1]].clamp(0, 1)


def psnr(x: Tensor, truth: Tensor) -> list[float]:
    """Return the PSNR in the frame, and at its border."""
    error = (x - truth).square()
    rim = torch.ones_like(error, dtype=torch.bool)
    rim[..., RIM:-RIM, RIM:-RIM] = False
    return [float(-10 * part.mean().log10()) for part in (error, error[rim])]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    photographs = [read(path).x for path in sorted(arguments.folder.iterdir())[: arguments.limit]]
    priors = {"tv": rgmkit.prior("tv"), "photographs": rgmkit.load("photographs")}
    print("| blur | prior | measured | " + " | ".join(f"`{name}`" for name in BOUNDARIES) + " |")
    print("|---" * (3 + len(BOUNDARIES)) + "|")
    for label, spec in BLURS.items():
        pairs = [measure(photograph, arguments.size, spec) for photograph in photographs]
        for name, prior in priors.items():
            columns = [[psnr(y, truth) for truth, y in pairs]]
            columns += [[psnr(restore(y, spec, b, prior), truth) for truth, y in pairs] for b in BOUNDARIES]
            means = [torch.tensor(column).mean(0).tolist() for column in columns]
            print(f"| {label} | `{name}` | " + " | ".join(f"{a:.1f} ({b:.1f})" for a, b in means) + " |", flush=True)
    if arguments.picture:
        spec = next(iter(BLURS.values()))
        _, y = measure(photographs[0], arguments.size, spec)
        restored = [restore(y, spec, b, priors["photographs"]) for b in ("circular", "reflect", "valid")]
        write(arguments.picture, make_sheet(torch.cat([y.clamp(0, 1), *restored])))


if __name__ == "__main__":
    main()
