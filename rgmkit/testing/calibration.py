"""Measure how well samples of a restoration cover the true images."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

LEAST_SPREAD = 1 / 255


class Calibration(NamedTuple):
    """How samples agree with the true values, over the pixels whose spread is above a threshold.

    Attributes:
        nominal: fraction of the true values that should lie in the interval.
        coverage: fraction that does.
        deciles: the same for each tenth of the pixels, in the order of their spread.
        error_over_spread: root mean square error of the mean of the samples over that of their spread; near 1.
        pixels: fraction of the pixels that vary.
    """

    nominal: float
    coverage: float
    deciles: tuple[float, ...]
    error_over_spread: float
    pixels: float


def measure_calibration(
    samples: Tensor, truth: Tensor, *, coverage: float = 0.8, least_spread: float = LEAST_SPREAD
) -> Calibration:
    """Compare samples (N, ...) of restorations, not clipped, with the true images (...).

    The interval of a pixel goes from the k-th smallest to the k-th largest sample, with the largest k for which it
    should hold at least `coverage` of the true values: it should hold `(N + 1 - 2k) / (N + 1)`.

    Args:
        samples: N of them, 2 / (1 - coverage) - 1 or more, along the first axis.
        truth: the true images.
        coverage: of the interval.
        least_spread: pixels whose samples have a smaller standard deviation are not counted.

    >>> import torch
    >>> values = torch.randn(65, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    >>> found = measure_calibration(values[1:], values[0])
    >>> round(found.nominal, 3), abs(found.coverage - found.nominal) < 0.03
    (0.815, True)
    """
    n = len(samples)
    k = int((1 - coverage) / 2 * (n + 1) + 1e-9)
    if k < 1:
        raise ValueError(f"{n} samples are too few for an interval of coverage {coverage}")
    spread = samples.std(0)
    varies = spread > least_spread
    ranked = samples.sort(0).values
    held = ((truth >= ranked[k - 1]) & (truth <= ranked[n - k]))[varies].float()
    tenths = held[spread[varies].argsort()].chunk(10)
    error = (samples.mean(0) - truth)[varies].square().mean().sqrt()
    return Calibration(
        nominal=(n + 1 - 2 * k) / (n + 1),
        coverage=float(held.mean()),
        deciles=tuple(float(tenth.mean()) for tenth in tenths),
        error_over_spread=float(error / spread[varies].square().mean().sqrt()),
        pixels=float(varies.float().mean()),
    )
