"""A small run of an experiment: its records and its pictures."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

from rgmkit.experiments.result import Record
from rgmkit.images import Picture, write

NASTY = 'noise <b>"0.1"</b> & \'</script><!--'
DEGRADATIONS = {
    NASTY: lambda x, rng: x + 0.1 * rng.standard_normal(x.shape),
    "blur": lambda x, rng: gaussian_filter(x, (2, 2, 0)) + 0.02 * rng.standard_normal(x.shape),
}
METHODS = {
    "smooth": lambda y: gaussian_filter(y, (0.8, 0.8, 0)),
    "sharpen": lambda y: y + 0.5 * (y - gaussian_filter(y, (1.5, 1.5, 0))),
}
PHOTOS = {"astronaut": (data.astronaut, 16), "camera": (data.camera, 8)}  # a coloured one of 16 bits, a grey one of 8


def psnr(x, truth):
    return float(-10 * np.log10(((x - truth) ** 2).mean()))


def save(folder, name, x, bits):
    tensor = torch.tensor(x.clip(0, 1)).movedim(-1, 0)[None].float()
    write(folder / name, Picture(tensor, bits=bits))
    return name


def photo(name):
    load, bits = PHOTOS[name]
    x = np.atleast_3d(load())[60:220:4, 120:312:4] / 255  # 40 by 48 pixels
    return x, bits


def make_run(folder, seeds=(0,)):
    """The records and pictures of a run: two photographs, two degradations, two methods."""
    records = []
    for j, (degradation, degrade) in enumerate(DEGRADATIONS.items()):
        for image in PHOTOS:
            truth, bits = photo(image)
            for seed in seeds:
                y = degrade(truth, np.random.default_rng(seed)).clip(0, 1)
                shared = {
                    "truth": save(folder, f"pictures/{image}.png", truth, bits),
                    "measured": save(folder, f"pictures/{image}-{j}-{seed}.png", y, bits),
                }
                for k, (method, restore) in enumerate(METHODS.items()):
                    x, name = restore(y).clip(0, 1), f"{image}-{j}-{k}-{seed}"
                    restored = save(folder, f"pictures/{name}.png", x, bits)
                    records.append(
                        Record(
                            name,
                            image,
                            degradation,
                            method,
                            seed,
                            before={"psnr": psnr(y, truth), "ssim": 0.5},
                            after={"psnr": psnr(x, truth), "ssim": 0.6 + 0.1 * k},
                            nfe=k,
                            seconds=0.1 * (k + 1) + seed,
                            memory_mb=100 + len(records),
                            path=[(0.01, psnr(y, truth)), (0.05, psnr((x + y) / 2, truth))],
                            pictures={**shared, "restored": restored},
                        )
                    )
    return records


def colours(png):
    """The pixels (H, W, 3) of a PNG."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
