"""Compare rgmkit with deepinv on the same problems: python benchmarks/against_deepinv.py.

Proximal gradient descent on blurred and downsampled photographs of 256x256 and 512x512 pixels, with total variation
and wavelets. A is `rgmkit.restore`, with rgmkit's blur and deepinv's downsampling; B is deepinv's operator, prior and
`PGD` with the same weight, step, iterations and inner iterations. They run alternately, A B A B. Prints the PSNR of
both and the ratio of their median times (1.05 is 5 % more than deepinv alone).

Then the prox of a blur: rgmkit's closed form, and conjugate gradients on deepinv's spatial `Blur` run to the accuracy
of the closed form in float32. Both errors are against the closed form in float64.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from pathlib import Path
from typing import Any

import deepinv
import skimage.data
import torch
from rgmkit_blur.kernels import Gaussian
from rgmkit_deepinv.objects import from_deepinv
from timing import alternately
from torch import Tensor

import rgmkit
from rgmkit.core.linear import operator_norm
from rgmkit.core.random import seeded

psnr = rgmkit.metric("psnr")

ITERATIONS, NOISE, STD, FACTOR = 15, 0.02, 2.0, 2
WEIGHTS = {"tv": 8.0, "wavelet": 20.0}
TENFOLD = {"wavelet": 10.0}  # in its optimisers deepinv thresholds wavelets by a tenth of the step
INNER = 10  # iterations of the prox of total variation, in both


def photograph(size: int) -> Tensor:
    """Return the cameraman, (1, 1, size, size) in [0, 1]."""
    x = torch.from_numpy(skimage.data.camera()).float()[None, None] / 255
    return torch.nn.functional.avg_pool2d(x, 512 // size)


def operators(task: str, size: int) -> tuple[rgmkit.Degradation, deepinv.physics.LinearPhysics]:
    """Return the operator, as rgmkit and deepinv take it."""
    shape, noise = (1, size, size), deepinv.physics.GaussianNoise(NOISE)
    if task == "blur":
        taps = torch.from_numpy(Gaussian(STD).kernel().taps.copy()).float()[None, None]
        ours: rgmkit.Degradation = rgmkit.degradation("blur", std=STD, boundary="circular", noise=NOISE)
        return ours, deepinv.physics.BlurFFT(shape, filter=taps, noise_model=noise)
    theirs = deepinv.physics.Downsampling(img_size=shape, filter="gaussian", factor=FACTOR, noise_model=noise)
    return from_deepinv(theirs, image_shape=shape), theirs


def prior_of_deepinv(name: str) -> deepinv.optim.Prior:
    """Return deepinv's prior with as many inner iterations as rgmkit's."""
    if name == "wavelet":
        return deepinv.optim.WaveletPrior(level=3, wv="sym4", mode="symmetric")
    tv = deepinv.optim.TVPrior(def_crit=0, n_it_max=INNER)
    tv.TVModel.tau = 0.03
    return tv


def compare(task: str, prior: str, size: int, times: int) -> dict[str, Any]:
    """Run proximal gradient descent by both; return PSNR in dB, median seconds, and their ratio."""
    truth, weight = photograph(size), WEIGHTS[prior]
    ours, theirs = operators(task, size)
    y = ours(truth, generator=rgmkit.Streams(0, [0]))
    start = ours.embed(y)
    largest = operator_norm(lambda x: ours.adjoint(ours.A(x)), tuple(truth.shape), generator=seeded(0))
    step = 1.8 / largest  # in units of noise^2
    mine = rgmkit.solver("pgd", iterations=ITERATIONS, step=step * NOISE**2, tolerance=0)
    belief = rgmkit.prior(prior, weight=weight)

    def by_rgmkit() -> Tensor:
        return rgmkit.restore(y, ours, belief, solver=mine).x

    def by_deepinv() -> Tensor:
        method = deepinv.optim.PGD(
            data_fidelity=deepinv.optim.L2(), prior=prior_of_deepinv(prior), stepsize=step,
            lambda_reg=weight * NOISE**2 * TENFOLD.get(prior, 1.0), max_iter=ITERATIONS, early_stop=False,
            custom_init=lambda y, physics: start,
        )  # fmt: skip
        with torch.no_grad():
            return method(y, theirs)

    ours_seconds, theirs_seconds = map(statistics.median, alternately(by_rgmkit, by_deepinv, times))
    ours_psnr, theirs_psnr = (float(psnr(x.clamp(0, 1), truth)) for x in (by_rgmkit(), by_deepinv()))
    return {
        "problem": f"{task}, {prior}, {size}x{size}", "rgmkit_psnr": ours_psnr, "deepinv_psnr": theirs_psnr,
        "rgmkit_seconds": ours_seconds, "deepinv_seconds": theirs_seconds, "ratio": ours_seconds / theirs_seconds,
    }  # fmt: skip


def compare_prox(size: int, times: int, gamma: float = 100.0) -> dict[str, float]:
    """Compare the closed-form prox of a blur with conjugate gradients on a spatial convolution, at equal accuracy."""
    x = photograph(size)
    ours, _ = operators("blur", size)
    taps = torch.from_numpy(Gaussian(STD).kernel().taps.copy()).float()[None, None]
    spatial = deepinv.physics.Blur(filter=taps, padding="circular")
    y = ours(x, generator=rgmkit.Streams(0, [0]))
    exact = ours.prox(x.double(), y.double(), gamma)

    def error(found: Tensor) -> float:
        return float((found - exact).norm() / exact.norm())

    def by_iteration(steps: int) -> Tensor:
        return spatial.prox_l2(x, y, gamma, solver="CG", max_iter=steps, tol=0.0)

    closed = error(ours.prox(x, y, gamma))
    steps = next((n for n in (10, 20, 40, 80, 160) if error(by_iteration(n)) <= 2 * closed), 160)
    seconds = alternately(lambda: ours.prox(x, y, gamma), lambda: by_iteration(steps), times)
    mine, theirs = map(statistics.median, seconds)
    return {
        "size": size, "closed_error": closed, "closed_seconds": mine, "iterations": steps,
        "iterated_error": error(by_iteration(steps)), "iterated_seconds": theirs, "times_faster": theirs / mine,
    }  # fmt: skip


def main() -> None:
    """Print both tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=7, help="measurements of each side")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cases = [(task, prior, size) for task in ("blur", "downsample") for prior in WEIGHTS for size in (256, 512)]
    table = [compare(*case, given.times) for case in cases]
    print(f"{'problem':<30}{'PSNR':>8}{'deepinv':>9}{'seconds':>10}{'deepinv':>9}{'ratio':>8}")
    for row in table:
        print("{:<30}{:8.3f}{:9.3f}{:10.3f}{:9.3f}{:8.3f}".format(*row.values()))
    proxes = [compare_prox(256, given.times)]
    for prox in proxes:
        print({name: float(f"{value:.3g}") for name, value in prox.items()})
    if given.json:
        content = {"machine": platform.platform(), "threads": given.threads, "pgd": table, "prox": proxes}
        given.json.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
