from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

import rgmkit
from rgmkit.errors import ConfigError, DataError, IncompatibleError

psnr, ssim = rgmkit.metric("psnr"), rgmkit.metric("ssim")


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_psnr_of_half_precision_is_computed_in_float32(dtype):
    x, y = (image.to(dtype) for image in images(1, 3, 400, 400))
    y = 3 * y  # so that float16 cannot hold the sum of the squared errors
    for metric in (psnr, rgmkit.metric("psnr-y")):
        assert torch.equal(metric(y, x), metric(y.float(), x.float()))


def test_numpy_arrays_are_measured_as_the_tensors_that_they_stand_for():
    x = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    truth = x[..., ::-1] / 255
    batch = torch.from_numpy(np.moveaxis(x, -1, 0)[None] / 255)
    expected = rgmkit.metric("psnr")(batch, batch.flip(1))
    torch.testing.assert_close(rgmkit.metric("psnr")(x, truth).double(), expected)
    with pytest.raises(rgmkit.errors.DataError, match="NumPy array"):
        rgmkit.metric("psnr")(np.zeros(5), np.zeros(5))


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


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_only_floats_are_measured(metric):
    x = torch.rand(1, 1, 8, 8)
    wrong = {"uint8": (x * 255).byte(), "int64": (x * 255).long(), "bool": x > 0.5, "complex64": x + 1j * x}
    for kind, images in wrong.items():
        with pytest.raises(DataError, match=f"images of {kind} cannot be measured: give floats"):
            metric(images, x)
    with pytest.raises(DataError, match=r"images of complex64 cannot be measured: .* magnitude"):
        metric(x, (x + 1j * x)[0, 0].numpy())


def test_ssim_needs_three_pixels():
    with pytest.raises(IncompatibleError, match="2x9"):
        ssim(torch.zeros(1, 1, 2, 9), torch.zeros(1, 1, 2, 9))


def test_a_metric_says_how_it_is_shown_and_which_way_is_better():
    assert (psnr.info.heading, psnr.info.format(31.256), psnr.info.best([1.0, 2.0])) == ("PSNR (dB)", "31.26", 2.0)
    assert (ssim.info.heading, ssim.info.format(0.91249)) == ("SSIM", "0.912")
    error = rgmkit.metric("deepinv.MAE")
    assert not error.higher_is_better and error.info.best([0.2, float("nan"), 0.1]) == 0.1


def test_luma_is_that_of_bt601():
    x, y = (image.clamp(0, 1) for image in images(2, 3, 12, 17))
    luma = [(a.numpy().transpose(0, 2, 3, 1) @ [65.481, 128.553, 24.966] + 16) / 255 for a in (x, y)]
    expected = -10 * np.log10(((luma[0] - luma[1]) ** 2).mean((1, 2)))
    np.testing.assert_allclose(rgmkit.metric("psnr-y")(y, x), expected, rtol=1e-6)
    grey = rgmkit.metric("psnr-y")(y[:, :1], x[:, :1])
    torch.testing.assert_close(grey, psnr(y[:, :1], x[:, :1]))


def test_ssim_of_floats_is_computed_in_doubles():
    x = 0.999 + 1e-4 * torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    y = x + 1e-4 * torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    assert ssim(x, y).dtype == torch.float32
    assert float(ssim(x, y)) == pytest.approx(float(ssim(x.double(), y.double())), abs=1e-7)


@pytest.mark.parametrize("name", ["torchmetrics.PeakSignalNoiseRatio", "torchmetrics.psnr", "deepinv.PSNR"])
def test_metrics_of_other_packages_measure_each_image(name):
    x, y = (image.float().clamp(0, 1) for image in images(3, 3, 12, 17))
    torch.testing.assert_close(rgmkit.metric(name)(y, x), psnr(y, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["deepinv.HaarPSI", "deepinv.GMSD"])
def test_metrics_that_take_float32_alone_get_it(name):
    x, y = (image.clamp(0, 1) for image in images(2, 3, 32, 32))
    metric = rgmkit.metric(name)
    better, worse = metric((x + y) / 2, x), metric(y, x)
    assert better.dtype == x.dtype and ((better > worse) == metric.higher_is_better).all()


def test_what_a_metric_of_another_package_cannot_measure_is_one_line():
    x, y = images(2, 3, 32, 32)
    with pytest.raises(IncompatibleError, match=r"^torchmetrics.PSNRWBE cannot measure images of shape \(3, 32, 32\)"):
        rgmkit.metric("torchmetrics.psnrwbe")(y, x)


def test_metrics_of_other_packages_without_a_truth():
    x, _ = (image.float() for image in images(2, 3, 12, 17))
    variation = rgmkit.metric("torchmetrics.TotalVariation")
    assert not variation.needs_truth and not variation.higher_is_better
    expected = x.diff(dim=-1).abs().sum((1, 2, 3)) + x.diff(dim=-2).abs().sum((1, 2, 3))
    torch.testing.assert_close(variation(x), expected)
    assert not rgmkit.metric("deepinv.BlurStrength").needs_truth
    with pytest.raises(IncompatibleError, match="PSNR compares an image with the true one"):
        psnr(x)


@pytest.mark.parametrize(
    "name, message",
    [
        ("torchmetrics.PeakSignalNoiseRatoi", "torchmetrics has no metric .*: did you mean 'PeakSignalNoiseRatio'"),
        ("deepinv.QNR", "deepinv has no metric 'QNR' of single images"),
        ("deepinv.MAE:colour=3", "metric: deepinv.MAE: .*colour"),
        ("torchmetrics.SDI", "torchmetrics has no metric 'SDI'"),  # the initials of two
    ],
)
def test_a_wrong_name_or_option_of_another_package_is_named(name, message):
    with pytest.raises(ConfigError, match=message):
        rgmkit.metric(name)


def test_what_a_metric_of_another_package_needs_is_named(monkeypatch):
    import torchmetrics.image

    class NeedsPackage(torchmetrics.image.PeakSignalNoiseRatio):
        def __init__(self):
            raise ModuleNotFoundError("No module named 'pyiqa'")

    class NeedsWeights(torchmetrics.image.PeakSignalNoiseRatio):
        def __init__(self):
            raise OSError("no route to host")

    monkeypatch.setattr(torchmetrics.image, "NeedsPackage", NeedsPackage, raising=False)
    monkeypatch.setattr(torchmetrics.image, "NeedsWeights", NeedsWeights, raising=False)
    with pytest.raises(ConfigError, match=r"torchmetrics\.NeedsPackage needs a package that is not installed: .*pyiqa"):
        rgmkit.metric("torchmetrics.needspackage")
    with pytest.raises(ConfigError, match="NeedsWeights needs weights that could not be downloaded: no route to host"):
        rgmkit.metric("torchmetrics.NeedsWeights")


def test_a_metric_gives_one_value_for_each_image():
    class Mean(rgmkit.Metric):
        def measure(self, x, truth):
            return (x - truth).mean()

    with pytest.raises(IncompatibleError, match=r"Mean gave values of shape \(\) for 2 images"):
        Mean()(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))


def test_the_old_module_of_metrics_still_works():
    sys.modules.pop("rgmkit.metrics", None)
    with pytest.warns(DeprecationWarning, match=r"rgmkit\.metrics is deprecated"):
        old = importlib.import_module("rgmkit.metrics")
    assert type(old.psnr) is type(psnr) is type(old.metric("psnr")) and set(old.METRICS) == {"psnr", "ssim"}


def test_psnr_leaves_out_a_border():
    x, y = images(2, 3, 12, 17)
    inside = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    for name in ("psnr", "psnr-y"):
        expected = rgmkit.metric(name)(y[inside], x[inside])
        torch.testing.assert_close(rgmkit.metric(name, border=2)(y, x), expected)
    with pytest.raises(IncompatibleError, match="within a border of 6 pixels"):
        rgmkit.metric("psnr:border=6")(y, x)
    with pytest.raises(ConfigError, match="border is -1"):
        rgmkit.metric("psnr:border=-1")
