"""Measure how sharp restorations are: python benchmarks/sharpness.py FOLDER [--models photographs photographs-rgm].

Crops of the pictures in a folder are degraded and restored by each network: one restoration, one posterior draw, and
the mean of 16 draws. Printed are, beside the PSNR, the power above half the Nyquist frequency relative to that of the
true crops (geometric mean over the crops), and the Fréchet distance between their patches of 8x8 pixels and those of
the true crops: 1 is the distance of a crop with noise of std 0.02. Real photographs have a power of 1; a mean of all
images that are possible is smoother.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import unfold
from torchmetrics.functional.image import peak_signal_noise_ratio

import rgmkit
from rgmkit.training.data.files import Folder

TASKS = (
    "gaussian-noise:noise=0.1",
    "blur:std=1.6,noise=0.02",
    "downsample:factor=2,noise=0.02",
    "inpaint:keep=0.5,noise=0.02",
)
DRAWS, PATCH, UNIT = 16, 8, 0.02


def measure_power(x: Tensor) -> Tensor:
    """Return the power of each crop above half the Nyquist frequency, (B,), under a Hann window."""
    height, width = x.shape[-2:]
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)
    spectrum = torch.fft.fft2((x - x.mean((2, 3), keepdim=True)) * window).abs().square()
    radius = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width))
    return spectrum[..., radius > 0.25].mean((1, 2))


def patch_distance(a: Tensor, b: Tensor) -> float:
    """Return the Fréchet distance between Gaussians that are fitted to the patches of two sets of crops."""
    one, other = (unfold(x, PATCH, stride=2).transpose(1, 2).flatten(0, 1).double().T for x in (a, b))
    first, second = torch.cov(one), torch.cov(other)
    roots = torch.linalg.eigvals(first @ second).real.clamp(min=0).sqrt().sum()
    distance = (one.mean(1) - other.mean(1)).square().sum() + first.trace() + second.trace() - 2 * roots
    return float(distance)


def describe(x: Tensor, truth: Tensor, unit: float) -> dict[str, float]:
    """Return the PSNR, the relative power of high frequencies and the distance of the patches of restored crops."""
    psnr = peak_signal_noise_ratio(x, truth, data_range=1.0, reduction="elementwise_mean", dim=(1, 2, 3))
    power = (measure_power(x) / measure_power(truth)).log().mean().exp()
    return {"psnr": float(psnr), "power": float(power), "patches": patch_distance(x, truth) / unit}


def main() -> None:
    """Print a line per task, network and kind of result, and write all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=["photographs", "photographs-rgm"])
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--size", type=int, default=96, help="side of the crops")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = Folder(path=given.folder, size=given.size, crop="random", channels="rgb")
    truth = folder.batch(given.images, seed=given.seed, step=0)
    noisy = truth + UNIT * torch.randn(truth.shape, generator=torch.Generator().manual_seed(given.seed))
    unit = patch_distance(noisy, truth)
    rows = []
    print(f"{'task':<32}{'network':<17}{'result':<14}{'PSNR':>7}{'power':>7}{'patches':>9}{'NFE':>6}")
    for task in TASKS:
        degradation = rgmkit.degradation(task)
        y = degradation(truth, generator=rgmkit.Streams(given.seed, range(len(truth))))
        for name in given.models:
            single = rgmkit.restore(y, degradation, name, seed=given.seed)
            drawn = rgmkit.restore(y, degradation, name, samples=DRAWS, seed=given.seed)
            results = {"restoration": single.x, "draw": drawn.samples[0], f"mean of {DRAWS}": drawn.samples.mean(0)}
            for kind, x in results.items():
                nfe = single.nfe if kind == "restoration" else drawn.nfe / (DRAWS if kind == "draw" else 1)
                row = describe(x, truth, unit)
                rows.append({"task": task, "network": name, "result": kind, "nfe": nfe} | row)
                shown = f"{row['psnr']:7.2f}{row['power']:7.2f}{row['patches']:9.2f}{nfe:6.1f}"
                print(f"{task:<32}{name:<17}{kind:<14}{shown}", flush=True)
    if given.json:
        content = {"machine": platform.platform(), "seed": given.seed, "size": given.size, "rows": rows}
        given.json.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
