"""Distances between the distributions of features of generated and of real images."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from rgmkit.core.features import Comparison

BLOCK = 1000  # images between which the kernel is computed at a time


@final
class Frechet(Comparison):
    """`|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))`, with mean m and covariance S of the features of each set.

    The squared Fréchet distance between Gaussians, by torchmetrics in float64; with the features of Inception it is
    the FID. It decreases as the number of images grows: compare only values of equal numbers.

    Source: Heusel et al., "GANs trained by a two time-scale update rule", 2017.

    >>> x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> round(Frechet()(x + 3, x)[0], 6)
    18.0
    """

    names: ClassVar = ("Fréchet",)

    def __call__(self, generated: Tensor, real: Tensor) -> tuple[float]:
        """Return the squared distance."""
        from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds to import

        given = nn.Identity()
        given.num_features = real.shape[1]  # type: ignore[assignment]
        distance = FrechetInceptionDistance(feature=given, sync_on_compute=False).set_dtype(torch.float64)
        distance.update(real.double(), real=True)
        distance.update(generated.double(), real=False)
        return (float(distance.compute()),)


@final
class Kernel(Comparison):
    """`E k(x, x') + E k(y, y') - 2 E k(x, y)`, with `k(x, y) = (<x, y> / d + 1)^3`: the maximum mean discrepancy.

    The unbiased estimate, by torchmetrics in float64, averaged over blocks of 1,000 images of each set; with the
    features of Inception it is the KID. Around 0 for equal distributions, whatever the number of images.

    Source: Bińkowski et al., "Demystifying MMD GANs", 2018.
    """

    names: ClassVar = ("kernel",)

    def __call__(self, generated: Tensor, real: Tensor) -> tuple[float]:
        """Return the mean over the blocks."""
        from torchmetrics.image.kid import poly_mmd

        count = max(1, min(len(generated), len(real)) // BLOCK)
        blocks = zip(generated.double().chunk(count), real.double()[: len(generated)].chunk(count), strict=False)
        values = [float(poly_mmd(ours, theirs)) for ours, theirs in ((a[: len(b)], b[: len(a)]) for a, b in blocks)]
        return (sum(values) / len(values),)
