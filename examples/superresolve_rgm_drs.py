"""Restore eight held-out digits from half the resolution with a trained network and plug-and-play DRS.

python superresolve_rgm_drs.py [FOLDER]
"""

import sys
from pathlib import Path

import torch

import rgmkit
from rgmkit.images import make_sheet, write
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    x = Digits(split="held-out").images[:8]  # (8, 1, 16, 16) in [0, 1]

    downsample = rgmkit.degradation("downsample", factor=2, noise=0.05)
    y = downsample(x, generator=torch.Generator().manual_seed(0))
    solution = rgmkit.restore(y, downsample, "digits", solver="pnp-drs", seed=0)

    file, enlarged = folder / "superresolve_rgm_drs.png", downsample.embed(y)
    write(file, make_sheet(torch.cat([x, enlarged, solution.x]), columns=len(x), enlarge=4))
    before, after = (float(psnr(image.clamp(0, 1), x).mean()) for image in (enlarged, solution.x))
    print(f"PSNR {before:.2f} dB before, {after:.2f} dB after {solution.nfe} network evaluations: {file}")
