"""Measure denoisers on folders of photographs, as the tables of the field do: PSNR, not clipped, not rounded.

    python benchmarks/denoising.py BSD68 CBSD68 --models photographs --ffdnet weights
    python benchmarks/denoising.py Kodak24 --std 1.275 2.55 --models photographs --every 4

White Gaussian noise of each std (of 255) is added to each picture; picture, std and seed decide it. FFDNet is a
baseline of which the published PSNR is known; `--ffdnet` names a folder with its weights, `FFDNet_mat__FFDNet_gray.npz`
and `…_color.npz`: arrays `w0`, `b0`, `w1`, … in the order of PyTorch.
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
from torch.nn.functional import conv2d, pad, pixel_shuffle, pixel_unshuffle

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
    parser.add_argument("--models", nargs="*", default=["photographs"], help="shipped models or model folders")
    parser.add_argument("--ffdnet", type=Path, help="folder with the published weights")
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


def load_ffdnet(folder: Path) -> Denoiser:
    """Return FFDNet (Zhang, Zuo and Zhang, 2018), grey or colour by the image."""
    layers = {channels: _read_layers(folder / f"FFDNet_mat__FFDNet_{name}.npz") for channels, name in NAMES.items()}

    def denoise(y: Tensor, std: float) -> Tensor:
        channels, height, width = y.shape[1:]
        # The published sub-images are in the order (row, column) = (0, 0), (1, 0), (0, 1), (1, 1).
        order = [4 * c + k for c in range(channels) for k in (0, 2, 1, 3)]
        h = pixel_unshuffle(pad(y, (0, width % 2, 0, height % 2), mode="replicate"), 2)[:, order]
        h = torch.cat([h, torch.full_like(h[:, :1], std)], 1).contiguous(memory_format=torch.channels_last)
        for i, (weight, bias) in enumerate(layers[channels]):
            h = conv2d(h.relu_() if i else h, weight, bias, padding=1)
        return pixel_shuffle(h[:, order], 2)[..., :height, :width]

    return denoise


NAMES = {1: "gray", 3: "color"}


def _read_layers(path: Path) -> list[tuple[Tensor, Tensor]]:
    with np.load(path, allow_pickle=False) as arrays:
        count = sum(name.startswith("w") for name in arrays)
        pairs = [(torch.from_numpy(arrays[f"w{i}"]), torch.from_numpy(arrays[f"b{i}"])) for i in range(count)]
    return [(w.float().contiguous(memory_format=torch.channels_last), b.float()) for w, b in pairs]


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
    denoisers |= {name: load_model(name, options.dtype) for name in options.models}
    if options.ffdnet:
        denoisers["FFDNet"] = load_ffdnet(options.ffdnet)
    rows = [row for folder in options.folders for row in measure(folder, denoisers, options)]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
