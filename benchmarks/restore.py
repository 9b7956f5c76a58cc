"""Compare the speed of DRS restoration by the published recipe and by rgmkit: python benchmarks/restore.py --json FILE.

Super-resolution by 4 of images of 32x32 pixels with the plug-and-play Douglas-Rachford splitting of the paper. Both use
the same network with random weights, alpha, weight and iterations. The published recipe is written out below: float32,
contiguous memory. rgmkit's side is `rgmkit.restore` with `pnp-drs` and a prior loaded with `dtype="bf16"`.
"""

from __future__ import annotations

import torch
from generate import error, models_to_compare
from timing import alternately, flops, parser, report
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

import rgmkit
from rgmkit.core.random import randn, seeded

FACTOR, ALPHA, WEIGHT = 4, 0.05, 10.0


@torch.no_grad()
def published(prior: rgmkit.RestoringPrior, y: Tensor, iterations: int, generator: torch.Generator) -> Tensor:
    """Run Douglas-Rachford splitting with level 1, for `A` the mean of FACTOR x FACTOR pixels, in [-1, 1]."""
    level = torch.zeros(len(y), dtype=torch.int64, device=y.device)
    x = interpolate(y, scale_factor=float(FACTOR), mode="nearest")
    gain = WEIGHT / (1 + WEIGHT / FACTOR**2)
    for _ in range(iterations):
        degraded = prior.process.degrade(x, level + 1, generator=generator)
        v = prior.network(degraded, level, randn((len(y), prior.latent), generator=generator, device=y.device))
        u = (1 - ALPHA) * x + ALPHA * v
        w = 2 * u - x
        missing = (y - avg_pool2d(w, FACTOR)) / FACTOR**2
        w = w + gain * interpolate(missing, scale_factor=float(FACTOR), mode="nearest")
        x = x + w - u
    return x


def main() -> None:
    """Measure both, print the result and write it as JSON."""
    options = parser(__doc__, batch=16, times=3)
    options.add_argument("--iterations", type=int, default=10)
    given = options.parse_args()
    given.levels = 4
    torch.set_num_threads(given.threads)
    whole, half, plain = models_to_compare(given)
    shape, generator = (given.batch, 3, given.size, given.size), seeded(given.seed)
    degradation = rgmkit.degradation("downsample", factor=FACTOR, noise=0.0)
    y = degradation(torch.rand(shape, generator=generator).to(given.device))
    solver = rgmkit.solver("pnp-drs", alpha=ALPHA, weight=WEIGHT, iterations=given.iterations, levels=1)

    def theirs() -> Tensor:
        return published(whole, 2 * y - 1, given.iterations, generator)

    def ours(prior: rgmkit.RestoringPrior = half) -> Tensor:
        return rgmkit.restore(y, degradation, prior, solver=solver, seed=given.seed).x

    far = error(half, whole, shape, given.device)
    count = flops(lambda: ours(plain))
    seconds = alternately(theirs, ours, given.times)
    title = f"DRS restoration, {given.network}, {given.size}x{given.size}, {given.iterations} iterations"
    report(title, given, seconds, images=given.batch, flops=count, bf16_from_float32=far)


if __name__ == "__main__":
    main()
