from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from rgmkit_blur.kernels import Motion
from torch import nn

import rgmkit
from rgmkit.core.degradation import Degradation
from rgmkit.core.random import randn, seeded
from rgmkit.errors import ConfigError, DataError, IncompatibleError
from rgmkit.images import write
from rgmkit.images.picture import Picture
from rgmkit.testing import checks

SPECS = [
    "gaussian-noise:noise=0.2",
    "blur:std=1.3,noise=0.1",
    "blur:std=0",
    "blur:kernel=motion,length=5,angle=30",
    "blur:std=9",  # wider than the image: wraps
    "blur:boundary=reflect,std=1",
    "blur:boundary=replicate,kernel=motion,length=6,angle=70,noise=0.01",
    "motion-blur:size=5,seed=3,noise=0.1",
    "motion-blur:size=4,shake=3,boundary=reflect",
    "compose:of=['blur:std=1', 'downsample:factor=2'],noise=0.1",
    "compose:of=['downsample:factor=3', 'inpaint:keep=0.6', 'grayscale:weights=[0.4, 0.6]']",
    "inpaint:noise=0.1",
    "inpaint:keep=0.4,seed=4",
    "inpaint:box=[2, 5, 3, 9]",
    "grayscale:weights=[0.3, 0.9],noise=0.1",
    "grayscale:weights=[1, -1]",
    "downsample:factor=3,noise=0.1",
    "downsample:factor=1,filter=gaussian",
    "downsample:factor=2,filter=gaussian",
    "downsample:factor=3,filter=bicubic",
    "downsample:factor=4,filter=bicubic,noise=0.1",
]


def images(*shape: int, dtype=torch.float64) -> torch.Tensor:
    return randn(shape, generator=seeded(0), dtype=dtype)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("check", checks("degradation"))
def test_conforms(check, spec):
    check(rgmkit.degradation(spec), (2, 12, 24))


@pytest.mark.parametrize("spec", ["blur:std=1.3,noise=0.1", "blur:kernel=motion,length=4,angle=110"])
@pytest.mark.parametrize("check", checks("degradation"))
def test_conforms_with_odd_sides(check, spec):
    check(rgmkit.degradation(spec), (1, 9, 7))


@pytest.mark.parametrize(
    "spec",
    ["downsample:factor=2", "downsample:factor=2,filter=bicubic", "grayscale:weights=[2, 3]"],
)
@pytest.mark.parametrize("check", checks("degradation"))
def test_blends_conform(check, spec):
    check(Degradation.at(rgmkit.degradation(spec), 0.6), (2, 6, 8))


@pytest.fixture
def kernel_file(tmp_path):
    taps = np.array([[0, 1, 5, 2], [3, 9, 4, 0], [1, 2, 0, 0]]) / 10
    write(tmp_path / "kernel.png", Picture(torch.tensor(taps)[None, None].float()))
    return tmp_path / "kernel.png", taps / taps.sum()


@pytest.mark.parametrize(("boundary", "mode"), [("circular", "wrap"), ("reflect", "mirror"), ("replicate", "nearest")])
def test_blur_is_scipys(boundary, mode, kernel_file):
    x = images(2, 3, 15, 20)
    gaussian = rgmkit.degradation("blur", std=1.7, boundary=boundary).A(x)
    np.testing.assert_allclose(gaussian, scipy.ndimage.gaussian_filter(x, (0, 0, 1.7, 1.7), mode=mode), atol=1e-12)
    path, taps = kernel_file
    found = rgmkit.degradation("blur", kernel=str(path), boundary=boundary).A(x)
    # the file has 8 bits; scipy's centre of an even side is n // 2, too
    expected = scipy.ndimage.convolve(x.numpy(), taps[None, None], mode=mode)
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert np.corrcoef(found.flatten(), expected.flatten())[0, 1] > 0.9999


def test_motion_kernels():
    assert np.allclose(Motion(length=5, angle=0).kernel().taps, np.full((1, 5), 0.2))
    assert np.allclose(Motion(length=5, angle=90).kernel().taps, np.full((5, 1), 0.2))
    assert np.allclose(Motion(length=0, angle=20).kernel().taps, 1)
    diagonal = Motion(length=3 * 2**0.5, angle=45).kernel().taps  # from lower left to upper right
    assert np.allclose(diagonal, np.fliplr(np.eye(3)) / 3)
    for angle in (17, 63, 140):
        taps = Motion(length=11, angle=angle).kernel().taps
        row, column = (place - n // 2 for place, n in zip(np.indices(taps.shape), taps.shape, strict=True))
        along = column * np.cos(np.radians(angle)) - row * np.sin(np.radians(angle))
        assert taps.sum() == pytest.approx(1)
        assert np.allclose(taps, taps[::-1, ::-1])
        assert (taps * along**2).sum() == pytest.approx(11**2 / 12, rel=0.03)  # of an even segment
        assert abs(taps * (row * np.cos(np.radians(angle)) + column * np.sin(np.radians(angle)))).sum() < 0.4


@pytest.mark.parametrize("spec", ["blur:std=1.2", "motion-blur:size=5", *SPECS[-10:]])
def test_closed_prox_is_that_of_conjugate_gradients(spec, monkeypatch):
    monkeypatch.setattr("rgmkit.core.degradation.RTOL", 1e-13)
    degradation = rgmkit.degradation(spec)
    z = images(3, 2, 12, 24)
    y = degradation.A(z).flip(0) + 0.3
    gamma = torch.tensor([0.3, 20.0, 4.0])
    expected = Degradation.prox(degradation, z, y, gamma)
    assert (degradation.prox(z, y, gamma) - expected).norm() < 1e-10 * expected.norm()


def matrix(degradation: Degradation, *shape: int) -> torch.Tensor:
    """A as a matrix, made column by column."""
    basis = torch.eye(int(np.prod(shape)), dtype=torch.float64).reshape(-1, *shape)
    return degradation.A(basis).flatten(1).T


@pytest.mark.parametrize("spec", ["blur:std=0.8", "motion-blur:size=3", "inpaint:keep=0.3", *SPECS[-5:]])
def test_pinv_is_that_of_the_matrix(spec):
    degradation = rgmkit.degradation(spec)
    y = degradation.A(images(3, 1, 12, 12).flip(0))
    expected = torch.linalg.pinv(matrix(degradation, 1, 12, 12), rtol=1e-8) @ y.flatten(1).T
    assert (degradation.pinv(y).flatten(1).T - expected).norm() < 1e-6 * expected.norm()


def test_pinv_leaves_out_null_frequencies():
    blur = rgmkit.degradation("blur", kernel="motion", length=4)  # K is 0 at every fourth frequency of 16
    rank = torch.linalg.matrix_rank(matrix(blur, 1, 3, 16), rtol=1e-8)
    x = images(2, 1, 3, 16)
    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-3)):
        back = blur.pinv(blur.A(x.to(dtype)))
        lost = x.to(dtype) - back
        assert rank < 48
        assert (lost * back).sum().abs() < tolerance * (x**2).sum()  # an orthogonal projection
        assert blur.A(lost).abs().max() < tolerance


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
    x = images(2, 3, 36, 48)
    mean = rgmkit.degradation("downsample", factor=3).A(x)
    assert torch.allclose(mean[0, 1, 2, 3], x[0, 1, 6:9, 9:12].mean())
    ours = rgmkit.degradation("downsample", factor=3, filter="bicubic").A(x)
    torchs = nn.functional.interpolate(x, size=(12, 16), mode="bicubic", antialias=True)
    inside = (..., slice(2, -2), slice(2, -2))  # away from the border, which is not circular there
    assert torch.allclose(ours[inside], torchs[inside], atol=1e-6)
    blurred = scipy.ndimage.gaussian_filter(x.numpy(), (0, 0, 2**0.5, 2**0.5), mode="wrap", truncate=4)
    ours = rgmkit.degradation("downsample", factor=3, filter="gaussian").A(x)
    assert np.allclose(ours, blurred[..., 1::3, 1::3], atol=1e-3)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(spec, dtype):
    degradation = rgmkit.degradation(spec)
    x = images(2, 2, 12, 24).sigmoid()
    y = degradation.A(x)
    for name, arguments in {"A": (x,), "adjoint": (y,), "prox": (x, y, 2.0), "embed": (y,)}.items():
        wide = getattr(degradation, name)(*arguments)
        narrow = [a.to(dtype) if isinstance(a, torch.Tensor) else a for a in arguments]
        found = getattr(degradation, name)(*narrow)
        assert found.dtype == dtype
        assert (found.double() - wide).norm() < 0.02 * wide.norm(), name


def test_inference_mode_leaves_nothing_behind():
    blur, down = rgmkit.degradation("blur", std=1.234), rgmkit.degradation("downsample", factor=2, filter="bicubic")
    for degradation in (blur, down):
        with torch.inference_mode():
            degradation.A(torch.rand(1, 1, 14, 18))
        x = torch.rand(1, 1, 14, 18, requires_grad=True)
        degradation.A(x).sum().backward()
        assert x.grad is not None


def test_severities_are_of_the_family():
    blur = rgmkit.degradation("blur", std=2, noise=0.1, boundary="reflect").at(0.5)
    same = rgmkit.degradation("blur", std=1, noise=0.05, boundary="reflect")
    x = images(1, 1, 20, 22)
    assert torch.equal(blur.A(x), same.A(x))
    assert blur.noise == same.noise
    motion = rgmkit.degradation("blur", kernel="motion", length=8, angle=20).at(0.25)
    assert torch.equal(motion.A(x), rgmkit.degradation("blur", kernel="motion", length=2, angle=20).A(x))
    down = rgmkit.degradation("downsample", factor=2)
    assert torch.allclose(down.at(0.5).A(x), (x + down.embed(down.A(x))) / 2)
    assert torch.allclose(down.at(0.5).at(0.5).A(x), down.at(0.25).A(x))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("blur:kernel=motion,std=2", "std is an option of kernel=gaussian, and kernel is motion"),
        ("blur:angle=30", "angle is an option of kernel=motion, and kernel is gaussian"),
        ("blur:std=-1", "std is -1"),
        ("blur:kernel=motion,length=1e9", "length is 1000000000"),
        ("blur:boundary=zero", "'circular'"),
        ("downsample:factor=0", "factor is 0"),
        ("downsample:factor=1.5", "factor"),
        ("downsample:filter=nearest", "'bicubic'"),
        ("gaussian-noise:noise=-0.1", "noise is -0.1"),
    ],
)
def test_wrong_options(spec, words):
    with pytest.raises(ConfigError, match=words):
        rgmkit.degradation(spec)


def test_wrong_kernel_files(tmp_path):
    with pytest.raises(DataError, match="gausian"):
        rgmkit.degradation("blur", kernel="gausian")
    write(tmp_path / "black.png", Picture(torch.zeros(1, 1, 3, 3)))
    with pytest.raises(DataError, match="all black"):
        rgmkit.degradation("blur", kernel=str(tmp_path / "black.png"))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"text\.png"):
        rgmkit.degradation("blur", kernel=str(tmp_path / "text.png"))


def test_sizes_that_do_not_fit():
    down = rgmkit.degradation("downsample", factor=4)
    with pytest.raises(IncompatibleError, match=r"factor 4 .* 30 x 45 .* crop it to 28 x 44"):
        down.A(torch.zeros(1, 3, 30, 45))
    with pytest.raises(IncompatibleError, match=r"factor 4 is larger than a side .* 3 x 45"):
        down.A(torch.zeros(1, 3, 3, 45))
    assert down.usable_shape((1, 3, 30, 45)) == (1, 3, 28, 44)
    with pytest.raises(IncompatibleError, match=r"17 x 17 .* image of 8 x 20"):
        rgmkit.degradation("blur", std=2, boundary="reflect").A(torch.zeros(1, 1, 8, 20))
