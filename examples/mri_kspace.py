"""Restore a slice from a third of its k-space, by an operator of one's own.

python mri_kspace.py [FOLDER]
"""

import sys
from pathlib import Path

import torch
from skimage.data import shepp_logan_phantom
from skimage.transform import resize

import rgmkit
from rgmkit.images import make_sheet, write


class KSpace(rgmkit.Degradation):
    """A quarter of the rows of the k-space of a real image, and all of low frequency: complex, (B, 1, H, W)."""

    def A(self, x):
        rows = torch.rand(x.shape[-2], generator=torch.Generator().manual_seed(0)) < 0.25
        rows |= torch.fft.fftfreq(x.shape[-2]).abs() < 1 / 16
        return torch.fft.fft2(x, norm="ortho") * rows[:, None].to(x.device)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    x = torch.from_numpy(resize(shepp_logan_phantom(), (96, 96), anti_aliasing=True)).float()[None, None]
    scanner = KSpace(noise=0.02)
    y = scanner(x, generator=rgmkit.Streams(0, [0]))

    images = {"zero-filled": torch.fft.ifft2(y, norm="ortho").real}
    images |= {prior: rgmkit.restore(y, scanner, prior).x for prior in ("tv", "photographs")}
    for name, image in images.items():
        print(f"{name:12} {float(rgmkit.metric('psnr')(image, x)):.2f} dB")
    write(folder / "mri.png", make_sheet(torch.cat([*images.values(), x]).clamp(0, 1), columns=4, enlarge=2))
