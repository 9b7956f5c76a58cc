"""Measure denoisers on folders of photographs, as the tables of the field do: PSNR, not clipped, not rounded.

    python benchmarks/denoising.py BSD68 --models photographs weights/FFDNet_gray.mat weights/dncnn_25.pth
    python benchmarks/denoising.py Kodak24 --std 1.275 2.55 --models photographs --every 4

White Gaussian noise of each std (of 255) is added to each picture; picture, std and seed decide it. Published networks
are given by their weights files, see docs/published.md; PSNR of FFDNet and DnCNN is known from their papers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import rgmkit
from rgmkit.adapters import fit_prior
from rgmkit.core.random import seeded
from rgmkit.images import read

Denoiser = Callable[[Tensor, float], Tensor]
ENDINGS = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--std", nargs="+", type=float, default=[15, 25, 50], help="of the noise, of 255")
    parser.add_argument(
        "--models", nargs="*", default=["photographs"], help="shipped models, model folders, weights files"
    )
    parser.add_argument("--dtype", default="float32", choices=["float32", "bf16"], help="of the models")
    parser.add_argument("--every", type=int, default=1, help="measure one picture in this many, from the first on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the results")
    return parser.parse_args()


def load_model(name: str, dtype: str) -> Denoiser:
    """Return a model as a function of noisy images and std; of other channels than it takes, as `restore` adapts it."""
    prior = rgmkit.load(name, dtype=dtype)

    def denoise(y: Tensor, std: float) -> Tensor:
        fitted, _ = fit_prior(prior, tuple(y.shape), like=y)
        assert isinstance(fitted, rgmkit.RestoringPrior)
        return fitted.denoise(y, std)

    return denoise


@torch.no_grad()
def measure(folder: Path, denoisers: dict[str, Denoiser], options: argparse.Namespace) -> list[dict[str, object]]:
    """Return the mean PSNR and the seconds per picture of each denoiser at each std."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
    rows = []
    for std in options.std:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in denoisers}
        for i in range(0, len(files), options.every):
            x = read(files[i]).x
            noise = torch.randn(x.shape, generator=seeded(options.seed, i, round(1000 * std)))
            y = x + std / 255 * noise
            for name, denoise in denoisers.items():
                start = time.perf_counter()
                error = (denoise(y, std / 255) - x).double().square().mean()
                found[name].append((-10 * float(error.log10()), time.perf_counter() - start))
        for name, pairs in found.items():
            psnr, seconds = (float(np.mean(values)) for values in zip(*pairs, strict=True))
            rows.append({"set": folder.name, "n": len(pairs), "std": std, "of": name, "psnr": psnr, "seconds": seconds})
            print(
                f"{folder.name:9} n={len(pairs):3} std {std:6g}  {name:24} {psnr:6.2f} dB {seconds:7.3f} s", flush=True
            )
    return rows


def main() -> None:
    """Measure, print, and write the results."""
    options = parse()
    torch.set_num_threads(options.threads)
    denoisers: dict[str, Denoiser] = {"noisy": lambda y, std: y}
    denoisers |= {Path(name).name: load_model(name, options.dtype) for name in options.models}
    rows = [row for folder in options.folders for row in measure(folder, denoisers, options)]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
