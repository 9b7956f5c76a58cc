"""Restore under noise that is not white, with its model and as if it were white; print the table of docs/noise.md.

    python benchmarks/noise_models.py --size 128

The photograph is scikit-image's `camera`; the cells are drawn, in 16 bits: bright blobs with a texture on a dark
ground. White noise has the root mean square std of the noise.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import resize
from torch import Tensor

import rgmkit

PRIORS = ("tv", "photographs")


def draw_cells(size: int) -> Tensor:
    """Draw cells as a fluorescence microscope sees them, rounded to 16 bits, (1, 1, size, size)."""
    rng = np.random.default_rng(0)
    blobs = data.binary_blobs(size, blob_size_fraction=20 / size, volume_fraction=0.15, rng=rng).astype(float)
    texture = 1 + 0.5 * gaussian_filter(rng.standard_normal((size, size)), 2)
    brightness = gaussian_filter(rng.uniform(0, 1, (size, size)), 16)
    brightness = (brightness - brightness.min()) / np.ptp(brightness)
    cells = 0.03 + 0.9 * gaussian_filter(blobs * texture, 1) * (0.3 + 0.7 * brightness)
    return torch.from_numpy((cells.clip(0, 1) * 65535).round() / 65535).float()[None, None]


def photograph(size: int) -> Tensor:
    """Return `camera`, reduced to (1, 1, size, size)."""
    return torch.from_numpy(resize(data.camera() / 255, (size, size), anti_aliasing=True)).float()[None, None]


def cases(size: int) -> dict[str, tuple[Tensor, rgmkit.Noise]]:
    """Return an image and a noise model for each row of the table."""
    halves = torch.full((size, size), 0.02)
    halves[:, size // 2 :] = 0.2
    ramp = torch.logspace(-2, -0.6, size).expand(size, size)
    dead = torch.full((size, size), 0.05)
    dead[torch.rand(size, size, generator=torch.Generator().manual_seed(0)) < 0.1] = torch.inf
    x, cells, grain = photograph(size), draw_cells(size), np.ones((3, 3))
    return {
        "cells, 30 photons": (cells, rgmkit.noise("poisson", photons=30)),
        "cells, 200 photons, read noise .02": (cells, rgmkit.noise("poisson-gaussian", photons=200, read=0.02)),
        "std .02 left, .2 right": (x, rgmkit.noise("per-pixel", std=halves)),
        "std from .01 to .25": (x, rgmkit.noise("per-pixel", std=ramp)),
        "10 % dead pixels, std .05": (x, rgmkit.noise("per-pixel", std=dead)),
        "grain, 3 x 3 pixels, std .1": (x, rgmkit.noise("correlated", kernel=grain, std=0.1)),
        "stripes, std .1": (x, rgmkit.noise("correlated", kernel=np.ones((1, size // 4)), std=0.1)),
    }


def psnr(x: Tensor, truth: Tensor) -> float:
    """Return the PSNR of an image in [0, 1]."""
    return float(rgmkit.metric("psnr")(x.clamp(0, 1), truth))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the images in pixels")
    parser.add_argument("--operators", nargs="+", default=["gaussian-noise", "blur:std=1"])
    arguments = parser.parse_args()
    columns = [f"{prior}, {what}" for prior in PRIORS for what in ("white", "estimated", "model")]
    print("| image and noise | operator | measured |", " | ".join(columns), "|")
    print("|---" * (3 + len(columns)) + "|")
    for name, (x, noise) in cases(arguments.size).items():
        variance = noise.variance(x).expand(x.shape)
        rms = math.sqrt(float(variance[variance.isfinite()].mean()))
        for operator in arguments.operators:
            degradation = rgmkit.degradation(operator, noise=noise)
            y = degradation(x, generator=rgmkit.Streams(0, [0]))
            y = y.where(variance.isfinite(), 0)
            row = [f"{psnr(y, x):.1f}"]
            for prior in PRIORS:
                results = [rgmkit.restore(y, degradation.with_noise(n), prior).x for n in (rms, None, noise)]
                row += [f"{psnr(result, x):.1f}" for result in results]
            print(f"| {name} | {operator} |", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
