"""Operators that are not linear, by `gauss-newton` and by `one-shot`: python benchmarks/not_linear.py [--size 64].

Crops of four photographs of scikit-image and 16 held-out digits, with white noise of std .02. Prints the mean PSNR of
the measurement, the initial estimate and the restorations, and the network evaluations.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from skimage import data
from torch import Tensor
from torch.nn.functional import conv2d, pad

import rgmkit
from rgmkit.core.random import seeded
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")


class Saturating(rgmkit.Degradation):
    """`1 - exp(-2.5 x)`."""

    linear = False

    def A(self, x: Tensor) -> Tensor:
        """Respond to the light x."""
        return 1 - torch.exp(-2.5 * x)


class Gamma(rgmkit.Degradation):
    """`x^2.2`."""

    linear = False

    def A(self, x: Tensor) -> Tensor:
        """Raise to a power."""
        return x.clamp(min=0) ** 2.2


class Modulus(rgmkit.Degradation):
    """`|k * x|`, with a k that sharpens."""

    linear = False

    def A(self, x: Tensor) -> Tensor:
        """Filter, and take the absolute value."""
        kernel = torch.tensor([[0.0, 0.0, 0.0], [-0.5, 1.0, -0.3], [0.0, 0.2, 0.0]]).to(x)
        return conv2d(pad(x, [1] * 4, mode="replicate"), kernel[None, None]).abs()


def main() -> None:
    """Print a line for each kind of image and operator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=16)
    arguments = parser.parse_args()
    names, size = ("camera", "moon", "coins", "brick"), arguments.size
    crops = [getattr(data, name)()[100 : 100 + size, 180 : 180 + size] for name in names]
    photographs = torch.stack([torch.from_numpy(crop / 255).float()[None] for crop in crops])
    digits = Digits(split="held-out").images[: arguments.images]
    for what, x, priors in (("photographs", photographs, ("tv", "photographs")), ("digits", digits, ("digits",))):
        for operator in (Saturating(noise=0.02), Gamma(noise=0.02), Modulus(noise=0.02)):
            y = operator(x, generator=seeded(0))
            row = [f"y {mean(y, x):.1f}", f"start {mean(operator.initial_estimate(y), x):.1f}"]
            for prior in priors:
                solution = rgmkit.restore(y, operator, prior)
                cost = f"{solution.nfe} evaluations, {len(solution.trace)} steps"
                row.append(f"{prior} {mean(solution.x, x):.1f} ({cost})")
            row.append(f"one-shot {mean(rgmkit.restore(y, operator, priors[-1], solver='one-shot').x, x):.1f}")
            print(f"{what}, {operator.title}: " + ", ".join(row))


def mean(estimate: Tensor, x: Tensor) -> float:
    """Return the mean PSNR of a batch."""
    return statistics.mean(float(psnr(estimate[i : i + 1], x[i : i + 1])) for i in range(len(x)))


if __name__ == "__main__":
    main()
