"""Compare the speed of generation by the published recipe and by rgmkit: python benchmarks/generate.py --json FILE.

Both use the same network with random weights and T levels. The published recipe is written out below: float32,
contiguous memory. rgmkit's side is `rgmkit.generate` with a model loaded with `dtype="bf16"`. Also prints the largest
relative difference in the 2-norm, over all levels, between one evaluation in bf16 and in float32.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from timing import alternately, awake, flops, parser, relative, report
from torch import Tensor

import rgmkit
from rgmkit import models
from rgmkit.config import build
from rgmkit.core.random import randn, seeded


def models_to_compare(given: argparse.Namespace) -> tuple[rgmkit.RestoringPrior, ...]:
    """Return a model with random weights: in float32, in bf16, and again in float32, for counting operations."""
    shape = (3, given.size, given.size)
    process = rgmkit.process("gaussian", levels=given.levels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed)
        network = build("network", given.network, process=process, image_shape=shape)
    awake(network, given.seed)
    prior = build("prior", "gan", process=process, network=network, image_shape=shape)
    config = {"network": given.network, "process": {"use": "gaussian", "levels": given.levels}, "prior": "gan"}
    with tempfile.TemporaryDirectory() as folder:
        models.save(Path(folder) / "model", prior, config, {})
        kinds: tuple[dict[str, Any], ...] = ({}, {"dtype": "bf16", "compile": given.compile}, {})
        return tuple(rgmkit.load(Path(folder) / "model", device=given.device, **kind) for kind in kinds)


def published(prior: rgmkit.RestoringPrior, shape: tuple[int, ...], generator: torch.Generator, device: str) -> Tensor:
    """Generate as published: `y <- G(y, t, z)`, degraded again, for t = T-1 … 0."""
    process, network = prior.process, prior.network
    y = randn(shape, generator=generator, device=device)
    with torch.no_grad():
        for t in reversed(range(process.levels)):
            level = torch.full((len(y),), t, device=device)
            x: Tensor = network(y, level, randn((len(y), prior.latent), generator=generator, device=device))
            y = process.degrade(x, level, generator=generator)
    return x


@torch.no_grad()
def error(half: rgmkit.RestoringPrior, whole: rgmkit.RestoringPrior, shape: tuple[int, ...], device: str) -> float:
    """Return the largest relative difference of one evaluation over the levels."""
    y, z = (randn(s, generator=seeded(1), device=device) for s in (shape, (shape[0], whole.latent)))
    levels = range(1, whole.process.levels + 1)
    return max(relative(*(2 * prior.restore(y, s, z=z) - 1 for prior in (half, whole))) for s in levels)


def main() -> None:
    """Measure both, print the result and write it as JSON."""
    options = parser(__doc__, batch=16, times=5)
    options.add_argument("--levels", type=int, default=4)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    whole, half, plain = models_to_compare(given)
    shape, generator = (given.batch, 3, given.size, given.size), seeded(given.seed)

    def theirs() -> Tensor:
        return published(whole, shape, generator, given.device)

    def ours() -> Tensor:
        return rgmkit.generate(half, given.batch, seed=given.seed)

    far = error(half, whole, shape, given.device)
    count = flops(lambda: rgmkit.generate(plain, given.batch, seed=given.seed))
    seconds = alternately(theirs, ours, given.times)
    title = f"generation, {given.network}, {given.size}x{given.size}, T = {given.levels}"
    report(title, given, seconds, images=given.batch, flops=count, bf16_from_float32=far)


if __name__ == "__main__":
    main()
