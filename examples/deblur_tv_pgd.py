"""Deblur a noisy photograph with total variation and proximal gradient descent.

python deblur_tv_pgd.py [FOLDER]
"""

import sys
from pathlib import Path

import torch
from skimage.data import astronaut

import rgmkit
from rgmkit.images import write

psnr = rgmkit.metric("psnr")

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    x = torch.from_numpy(astronaut()[32:160, 160:288]).permute(2, 0, 1)[None] / 255

    blur = rgmkit.degradation("blur", std=2, boundary="reflect", noise=0.02)
    y = blur(x, generator=torch.Generator().manual_seed(0))
    solution = rgmkit.restore(y, blur, "tv", solver="pgd")  # the weight of tv is chosen from the noise

    file = folder / "deblur_tv_pgd.png"
    write(file, torch.cat([y, solution.x], dim=-1).clamp(0, 1))
    iterations, seconds = len(solution.trace), solution.seconds
    print(f"PSNR {float(psnr(y, x)):.2f} dB before, {float(psnr(solution.x, x)):.2f} dB after: {file}")
    print(f"{iterations} iterations in {seconds:.1f} s, rms residual |A x - y| {solution.trace[-1]['residual']:.4f}")
