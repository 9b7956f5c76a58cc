"""Blur and motion blur: the kernels, and convolution against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from analytic import matrix
from pictures import normal
from rgmkit_blur.kernels import Motion
from rgmkit_blur.motion import Trajectory

import rgmkit
from rgmkit.errors import DataError
from rgmkit.images import Picture, write


@pytest.fixture
def kernel_file(tmp_path):
    taps = np.array([[0, 1, 5, 2], [3, 9, 4, 0], [1, 2, 0, 0]]) / 10
    write(tmp_path / "kernel.png", Picture(torch.tensor(taps)[None, None].float()))
    return tmp_path / "kernel.png", taps / taps.sum()


MODES = [("circular", "wrap"), ("reflect", "reflect"), ("mirror", "mirror"), ("replicate", "nearest")]


@pytest.mark.parametrize(("boundary", "mode"), MODES)
def test_blur_is_scipys(boundary, mode, kernel_file):
    x = normal(2, 3, 15, 20)
    gaussian = rgmkit.degradation("blur", std=1.7, boundary=boundary).A(x)
    np.testing.assert_allclose(gaussian, scipy.ndimage.gaussian_filter(x, (0, 0, 1.7, 1.7), mode=mode), atol=1e-12)
    wide = rgmkit.degradation("blur", std=9, boundary=boundary).A(x)  # the kernel reaches beyond a second image
    np.testing.assert_allclose(wide, scipy.ndimage.gaussian_filter(x, (0, 0, 9, 9), mode=mode), atol=1e-12)
    path, taps = kernel_file
    found = rgmkit.degradation("blur", kernel=str(path), boundary=boundary).A(x)
    # the file has 8 bits; scipy's centre of an even side is n // 2, too
    expected = scipy.ndimage.convolve(x.numpy(), taps[None, None], mode=mode)
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert np.corrcoef(found.flatten(), expected.flatten())[0, 1] > 0.9999


def test_valid_blur_is_the_inside_of_any_other(kernel_file):
    x = normal(2, 3, 15, 20)
    for kernel in ({"std": 1.2}, {"kernel": str(kernel_file[0])}, {"kernel": "motion", "length": 6, "angle": 20}):
        valid = rgmkit.degradation("blur", boundary="valid", **kernel)
        rows, columns = valid.taps.radius
        whole = rgmkit.degradation("blur", boundary="circular", **kernel).A(x)
        y = valid.A(x)
        assert torch.allclose(y, whole[..., rows : 15 - rows, columns : 20 - columns], atol=1e-14)
        assert valid.image_shape(tuple(y.shape)) == tuple(x.shape)
        filled = valid.embed(y)
        assert torch.equal(filled[..., rows : 15 - rows, columns : 20 - columns], y)
        assert torch.equal(filled[..., :rows, :], filled[..., rows : 2 * rows, :].flip(-2))  # reflected


def test_margins_of_zeros_of_a_kernel_do_not_count(tmp_path):
    taps = torch.zeros(1, 1, 9, 8)
    taps[..., 3:6, 4] = torch.tensor([0.2, 1, 0.6])
    write(tmp_path / "kernel.png", Picture(taps))
    valid = rgmkit.degradation("blur", kernel=str(tmp_path / "kernel.png"), boundary="valid")
    assert valid.A(torch.ones(1, 1, 5, 1)).shape == (1, 1, 3, 1)


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


def test_pinv_leaves_out_null_frequencies():
    blur = rgmkit.degradation("blur", kernel="motion", length=4)  # K is 0 at every fourth frequency of 16
    rank = torch.linalg.matrix_rank(matrix(blur, 1, 3, 16), rtol=1e-8)
    x = normal(2, 1, 3, 16)
    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-3)):
        back = blur.pinv(blur.A(x.to(dtype)))
        lost = x.to(dtype) - back
        assert rank < 48
        assert (lost * back).sum().abs() < tolerance * (x**2).sum()  # an orthogonal projection
        assert blur.A(lost).abs().max() < tolerance


def test_wrong_kernel_files(tmp_path):
    with pytest.raises(DataError, match="gausian"):
        rgmkit.degradation("blur", kernel="gausian")
    write(tmp_path / "black.png", Picture(torch.zeros(1, 1, 3, 3)))
    with pytest.raises(DataError, match="all black"):
        rgmkit.degradation("blur", kernel=str(tmp_path / "black.png"))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"text\.png"):
        rgmkit.degradation("blur", kernel=str(tmp_path / "text.png"))


def moments(taps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the place, about the central pixel."""
    places = np.stack([place - n // 2 for place, n in zip(np.indices(taps.shape), taps.shape, strict=True)]).reshape(
        2, -1
    )
    mean = places @ taps.flatten()
    return mean, (places * taps.flatten()) @ places.T


@pytest.mark.parametrize("seed", [0, 1, -5])
@pytest.mark.parametrize("shake", [0, 0.5, 1, 4])
def test_trajectories(seed, shake):
    trajectory = Trajectory(size=19.3, shake=shake, seed=seed)
    taps = trajectory.kernel().taps
    assert taps.min() >= 0 and taps.sum() == pytest.approx(1) and all(n % 2 for n in taps.shape)
    mean, covariance = moments(taps)
    assert np.abs(mean).max() < 1e-9
    positions = trajectory.positions(40000)
    assert np.ptp(positions, axis=0).max() == pytest.approx(19.3, rel=0.01)
    # a share among pixels adds the variance of a fraction, at most 1/4, and keeps the rest
    assert np.abs(covariance - np.cov(positions.T)).max() < 0.26
    assert np.array_equal(taps, Trajectory(size=19.3, shake=shake, seed=seed).kernel().taps)
    assert not np.array_equal(taps, Trajectory(size=19.3, shake=shake, seed=seed + 1).kernel().taps)
    # the same way at any size
    assert np.allclose(trajectory.at(0.5).positions(100), trajectory.positions(100) / 2)
    assert np.array_equal(trajectory.at(0).kernel().taps, np.ones((1, 1))) or trajectory.at(0).kernel().taps.max() == 1


def test_without_a_shake_the_motion_is_straight():
    shaken = Trajectory(size=20, shake=0, seed=2)
    way = shaken.positions(2000)[-1] - shaken.positions(2000)[0]
    straight = Motion(length=float(np.linalg.norm(way)), angle=float(np.degrees(np.arctan2(-way[0], way[1]))))
    for ours, theirs in zip(moments(shaken.kernel().taps), moments(straight.kernel().taps), strict=True):
        assert np.abs(ours - theirs).max() < 0.3


def test_motion_blur_is_of_the_family():
    x = normal(1, 1, 20, 22)
    half = rgmkit.degradation("motion-blur", size=8, seed=4, noise=0.1, boundary="replicate").at(0.5)
    same = rgmkit.degradation("motion-blur", size=4, seed=4, noise=0.05, boundary="replicate")
    assert torch.equal(half.A(x), same.A(x)) and half.noise == same.noise
