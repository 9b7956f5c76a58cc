"""Peak signal-to-noise ratio, of all channels or of luma."""

from __future__ import annotations

from torch import Tensor

from rgmkit.core.fourier import widen
from rgmkit.core.metric import Metric
from rgmkit.errors import ConfigError, IncompatibleError


class PSNR(Metric):
    """`-10 log10 mean((x - truth)^2)` in dB, infinite for equal images.

    Args:
        border: number of pixels at each side of the image that are left out.

    Raises:
        ConfigError: if it is negative.

    >>> import torch
    >>> PSNR()(torch.full((1, 1, 8, 8), 0.6), torch.full((1, 1, 8, 8), 0.5)).round(decimals=2)
    tensor([20.])
    """

    name, unit, decimals = "PSNR", "dB", 2

    def __init__(self, *, border: int = 0) -> None:
        if border < 0:
            raise ConfigError(f"border is {border}: give 0 or more pixels")
        self.border = border

    def measure(self, x: Tensor, truth: Tensor | None) -> Tensor:
        """Measure each image over all of its values, except those of the border; half precision in float32.

        Raises:
            IncompatibleError: if nothing is left of the image.
        """
        from torchmetrics.functional.image import peak_signal_noise_ratio  # takes seconds to import

        assert truth is not None
        inside = slice(self.border, -self.border or None)
        x, truth = (widen(images[..., inside, inside]) for images in (x, truth))
        if not x.numel():
            raise IncompatibleError(f"nothing is left of the image within a border of {self.border} pixels: give less")
        return peak_signal_noise_ratio(x, truth, data_range=1.0, reduction="none", dim=(1, 2, 3))


class LumaPSNR(PSNR):
    """PSNR of luma, `(65.481 R + 128.553 G + 24.966 B + 16) / 255`, as papers on super-resolution report it.

    Grey images are taken as they are. Those papers leave out a border of as many pixels as the factor.
    Source: ITU-R BT.601.
    """

    name = "PSNR-Y"

    def measure(self, x: Tensor, truth: Tensor | None) -> Tensor:
        """Measure the luma of each image."""
        assert truth is not None
        return super().measure(_luma(widen(x)), _luma(widen(truth)))


def _luma(x: Tensor) -> Tensor:
    if x.shape[1] == 1:
        return x
    if x.shape[1] != 3:
        raise IncompatibleError(f"images of {x.shape[1]} channels have no luma: give grey or RGB images")
    weights = x.new_tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)
    return ((x * weights).sum(1, keepdim=True) + 16) / 255
