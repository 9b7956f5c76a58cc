"""Deblur a stack of 16-bit photon counts, as a fluorescence microscope records it.

python microscopy_stack.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np
import torch
from skimage.color import rgb2hed
from skimage.data import immunohistochemistry
from skimage.filters import gaussian
from tifffile import imwrite

import rgmkit
from rgmkit.images import make_sheet, read, write

RANGE = (0, 4095)  # the values of black and white of a 12-bit camera

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    nuclei = np.clip(rgb2hed(immunohistochemistry())[200:328, 100:228, 0] / 0.08, 0, 1)
    truth = np.stack([gaussian(nuclei, abs(z - 2)) for z in range(5)])  # slices beside the focal plane are blurred
    stack = {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}
    imwrite(folder / "cells.tif", (RANGE[1] * truth).astype(np.uint16), **stack)

    optics = rgmkit.degradation("blur", std=1.5, noise=rgmkit.noise("poisson", photons=100))
    x = read(folder / "cells.tif", range=RANGE).x
    y = optics(x, generator=rgmkit.Streams(0, range(5)))
    counts = (RANGE[1] * y[:, 0]).round().clamp(0, 65535).numpy().astype(np.uint16)
    imwrite(folder / "counts.tif", counts, **stack)
    solution = rgmkit.restore(counts, optics, "photographs", axes="ZYX", range=RANGE)
    imwrite(folder / "restored.tif", solution.x, **stack)

    restored, psnr = read(folder / "restored.tif", range=RANGE).x, rgmkit.metric("psnr")
    print(f"PSNR {float(psnr(y, x).mean()):.2f} dB before, {float(psnr(restored, x).mean()):.2f} dB after")
    write(folder / "microscopy.png", make_sheet(torch.cat([y, restored]).clamp(0, 1), columns=5))
