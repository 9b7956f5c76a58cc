"""Metrics: numbers that say how good an image is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
from torch import Tensor

from rgmkit.core.printable import Printable
from rgmkit.errors import DataError, IncompatibleError
from rgmkit.images.array_layout import unpack


@dataclass(frozen=True)
class MetricInfo:
    """How the values of a metric are shown and compared.

    Attributes:
        name: as tables and plots show it.
        unit: of the values, such as "dB".
        decimals: that are printed.
        higher_is_better: False where lower is better.
    """

    name: str
    unit: str = ""
    decimals: int = 3
    higher_is_better: bool = True

    @property
    def heading(self) -> str:
        """The name with its unit.

        >>> MetricInfo("PSNR", "dB").heading, MetricInfo("SSIM").heading
        ('PSNR (dB)', 'SSIM')
        """
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def format(self, value: float) -> str:
        """Print a value.

        >>> MetricInfo("PSNR", "dB", 2).format(31.256), MetricInfo("PSNR").format(math.inf)
        ('31.26', '∞')
        """
        return f"{value:.{self.decimals}f}".replace("inf", "∞").replace("nan", "–")

    def best(self, values: Iterable[float]) -> float | None:
        """Choose the best value, whatever is not a number left out; None of none.

        >>> MetricInfo("LPIPS", higher_is_better=False).best([0.3, 0.1, math.nan])
        0.1
        """
        known = [value for value in values if not math.isnan(value)]
        choose = max if self.higher_is_better else min
        return choose(known) if known else None


class Metric(Printable, ABC):
    """Measure each image of a batch, (B, C, H, W) in [0, 1]; values outside count as they are.

    Attributes:
        name, unit, decimals, higher_is_better: see `MetricInfo`; the default name is that of the class.
        needs_truth: False for a metric that looks at the image alone.
    """

    name: str
    unit: str = ""
    decimals: int = 3
    higher_is_better: bool = True
    needs_truth: bool = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not hasattr(cls, "name"):
            cls.name = cls.__name__

    @property
    def info(self) -> MetricInfo:
        """How its values are shown and compared."""
        return MetricInfo(self.name, self.unit, self.decimals, self.higher_is_better)

    @final
    def __call__(self, x: Tensor | np.ndarray, truth: Tensor | np.ndarray | None = None) -> Tensor:
        """Measure the images `x` against the true ones: one value for each image, (B,).

        NumPy arrays may have any layout and type that `rgmkit.restore` takes, such as (H, W, 3) in uint8.

        Raises:
            IncompatibleError: if the shapes differ, or the truth is missing where it is needed.
            DataError: for a NumPy array that is no picture, a tensor of whole numbers, and complex values.
        """
        x, truth = _to_batch(x), None if truth is None else _to_batch(truth)
        if truth is None and self.needs_truth:
            raise IncompatibleError(f"{self.name} compares an image with the true one: give both")
        shapes = {tuple(x.shape)} | ({tuple(truth.shape)} if truth is not None else set())
        if x.ndim != 4 or len(shapes) > 1:
            both = " and ".join(str(tuple(image.shape)) for image in (x, truth) if image is not None)
            raise IncompatibleError(
                f"images of shape {both} cannot be compared: give two batches (B, C, H, W) of one shape"
            )
        values = self.measure(x, truth if self.needs_truth else None)
        if tuple(values.shape) != (x.shape[0],):
            raise IncompatibleError(
                f"{self.name} gave values of shape {tuple(values.shape)} for {x.shape[0]} images: give one for each"
            )
        return values

    @abstractmethod
    def measure(self, x: Tensor, truth: Tensor | None) -> Tensor:
        """Measure the images: (B,). Both have one shape; `truth` is None unless the metric needs it."""


def _to_batch(images: Tensor | np.ndarray) -> Tensor:
    """Return a NumPy array as a batch (B, C, H, W) in [0, 1], and a tensor of floats as it is."""
    batch = images if isinstance(images, Tensor) else unpack(images)[0]
    if not batch.is_floating_point():
        remedy = "their magnitude" if batch.is_complex() else "images / 255"
        kind = str(batch.dtype).removeprefix("torch.")
        raise DataError(f"images of {kind} cannot be measured: give floats in [0, 1], such as {remedy}")
    return batch
