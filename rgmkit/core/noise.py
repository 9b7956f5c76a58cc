"""The noise of an image, from the image."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from rgmkit.errors import DataError

LEAST_SIDE = 8  # pixels: with fewer there are too few details for a median


def wavelet_std(y: Tensor, name: str = "the measurement") -> float:
    """The std of the white noise in a batch of images (B, C, H, W), one for all of them.

    `median |d| / .6745` over the finest diagonal wavelet details d of each channel, and the median of that
    over channels and images.

    Raises:
        DataError: if `y` is no batch of real images of 8 x 8 pixels or more.

    Source: Donoho and Johnstone, 1994, as scikit-image computes it.
    """
    if y.ndim != 4 or y.is_complex() or min(y.shape[-2:]) < LEAST_SIDE:
        kind = "complex " if y.is_complex() else ""
        raise DataError(
            f"{name}: the noise of a {kind}measurement of shape {tuple(y.shape)} cannot be estimated, only that of "
            f"images of {LEAST_SIDE} x {LEAST_SIDE} pixels or more: give noise=, its standard deviation"
        )
    from skimage.restoration import estimate_sigma

    planes = y.detach().double().flatten(0, 1).cpu().numpy()
    return float(np.median([estimate_sigma(plane) if np.ptp(plane) else 0.0 for plane in planes]))
