"""Downsampling: places, filters of other libraries, sizes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from pictures import normal
from torch import nn

import rgmkit
from rgmkit.errors import IncompatibleError


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("name", ["box", "gaussian", "bicubic"])
def test_downsample_keeps_places(name, factor):
    size = 12 * factor
    place = torch.arange(size, dtype=torch.float64)
    blob = torch.exp(-((place[:, None] - 5.2 * factor) ** 2 + (place - 6.1 * factor) ** 2) / (2 * (1.6 * factor) ** 2))
    down = rgmkit.degradation("downsample", factor=factor, filter=name)
    y = down.A(blob[None, None])

    def centre(x):
        return torch.stack([(x.sum(3) * place[:, None].T).sum(), (x.sum(2) * place).sum()]) / x.sum()

    for back in (down.embed(y), down.adjoint(y), down.pinv(y)):
        assert (centre(back) - centre(blob[None, None])).abs().max() < 0.02 * factor


def test_downsample_is_what_others_do():
    x = normal(2, 3, 36, 48)
    mean = rgmkit.degradation("downsample", factor=3).A(x)
    assert torch.allclose(mean[0, 1, 2, 3], x[0, 1, 6:9, 9:12].mean())
    ours = rgmkit.degradation("downsample", factor=3, filter="bicubic").A(x)
    torchs = nn.functional.interpolate(x, size=(12, 16), mode="bicubic", antialias=True)
    inside = (..., slice(2, -2), slice(2, -2))  # away from the border, which is not circular there
    assert torch.allclose(ours[inside], torchs[inside], atol=1e-6)
    blurred = scipy.ndimage.gaussian_filter(x.numpy(), (0, 0, 2**0.5, 2**0.5), mode="wrap", truncate=4)
    ours = rgmkit.degradation("downsample", factor=3, filter="gaussian").A(x)
    assert np.allclose(ours, blurred[..., 1::3, 1::3], atol=1e-3)


def test_sizes_that_do_not_fit():
    down = rgmkit.degradation("downsample", factor=4)
    with pytest.raises(IncompatibleError, match=r"factor 4 .* 30 x 45 .* crop it to 28 x 44"):
        down.A(torch.zeros(1, 3, 30, 45))
    with pytest.raises(IncompatibleError, match=r"factor 4 is larger than a side .* 3 x 45"):
        down.A(torch.zeros(1, 3, 3, 45))
    assert down.usable_shape((1, 3, 30, 45)) == (1, 3, 28, 44)
    with pytest.raises(IncompatibleError, match=r"17 x 17 .* image 16 x 20"):
        rgmkit.degradation("blur", std=2, boundary="valid").A(torch.zeros(1, 1, 16, 20))
