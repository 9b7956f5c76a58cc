"""Reconstruct a slice from the sinogram of a few angles.

python ct_angles.py [FOLDER]
"""

import sys
from pathlib import Path

import torch
from skimage.data import shepp_logan_phantom
from skimage.transform import resize

import rgmkit
from rgmkit.images import make_sheet, write

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    x = torch.from_numpy(resize(shepp_logan_phantom(), (96, 96), anti_aliasing=True)).float()[None, None]
    scanner = rgmkit.degradation("deepinv.Tomography", width=96, angles=45, noise=0.005)
    y = scanner(x, generator=rgmkit.Streams(0, [0])).detach()
    write(folder / "phantom.tif", x)
    write(folder / "sinogram.npy", y)

    images = {"start": scanner.initial_estimate(y).detach()}
    images |= {prior: rgmkit.restore(y, scanner, prior).x for prior in ("tv", "photographs")}
    for name, image in images.items():
        print(f"{name:12} {float(rgmkit.metric('psnr')(image, x)):.2f} dB")
    write(folder / "ct.png", make_sheet(torch.cat([*images.values(), x]).clamp(0, 1), columns=4, enlarge=2))
