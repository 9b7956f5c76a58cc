from __future__ import annotations

import numpy as np
import pytest
import torch
from rgmkit.metrics import psnr, ssim
from skimage.metrics import structural_similarity

from rgmkit.errors import IncompatibleError


def images(*shape, seed=0):
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, (x + 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype))


def test_psnr_is_per_image_and_infinite_for_equal_images():
    x, y = images(3, 3, 12, 17)
    y[1] = x[1]
    with np.errstate(divide="ignore"):
        expected = [float(-10 * np.log10(np.mean((a - b) ** 2))) for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    assert expected[1] == float("inf")
    np.testing.assert_allclose(psnr(y, x), expected, rtol=1e-6)


def test_ssim_equals_scikit_image_inside_the_border():
    x, y = images(2, 1, 16, 11)
    for i in range(2):
        _, full = structural_similarity(
            x[i, 0].numpy(),
            y[i, 0].numpy(),
            data_range=1.0,
            gaussian_weights=True,
            use_sample_covariance=False,
            full=True,
        )
        assert float(ssim(y, x)[i]) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-6)


@pytest.mark.parametrize("size", [(3, 9), (6, 6), (8, 30)])
def test_ssim_of_small_images_shrinks_its_window_and_says_so(size):
    x, y = images(2, 1, *size)
    with pytest.warns(UserWarning, match=f"{size[0]}x{size[1]} images uses a window of"):
        value, one = ssim(y, x), ssim(x, x)
    assert value.shape == (2,)
    assert bool((value < 1).all())
    torch.testing.assert_close(one, torch.ones_like(one))


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_images_of_other_shapes_are_refused(metric):
    with pytest.raises(IncompatibleError, match=r"\(1, 1, 8, 8\) and \(1, 3, 8, 8\)"):
        metric(torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8))


def test_ssim_needs_three_pixels():
    with pytest.raises(IncompatibleError, match="2x9"):
        ssim(torch.zeros(1, 1, 2, 9), torch.zeros(1, 1, 2, 9))
