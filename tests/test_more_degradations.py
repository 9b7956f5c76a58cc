"""Lost pixels, colours and sharpness: what each degradation promises beyond the conformance checks."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from rgmkit_blur.kernels import Motion
from rgmkit_blur.trajectory import Trajectory
from skimage import data

import rgmkit
from rgmkit.cli.app import main
from rgmkit.config import build
from rgmkit.config.text import read_yaml
from rgmkit.core.random import randn, seeded
from rgmkit.errors import ConfigError, DataError, IncompatibleError
from rgmkit.images import read, write
from rgmkit.images.picture import Picture
from rgmkit.testing import checks

psnr = rgmkit.metric("psnr")

COLOUR = torch.from_numpy(data.astronaut()[40:221, 150:303].copy()).movedim(-1, 0)[None] / 255  # odd sides
GREY = torch.from_numpy(data.camera()[::3, ::3].copy())[None, None] / 255


def images(*shape: int) -> torch.Tensor:
    return randn(shape, generator=seeded(0), dtype=torch.float64)


# inpaint


def lost(spec: str, *size: int) -> torch.Tensor:
    return rgmkit.degradation(spec).A(torch.ones(1, 1, *size))[0, 0] == 0


def test_random_pixels():
    half = lost("inpaint:keep=0.5,seed=7", 60, 80)
    assert torch.equal(half, lost("inpaint:keep=0.5,seed=7", 60, 80))
    assert not torch.equal(half, lost("inpaint:keep=0.5,seed=8", 60, 80))
    assert not torch.equal(half[:, :79], lost("inpaint:keep=0.5,seed=7", 60, 79))
    assert float(half.float().mean()) == pytest.approx(0.5, abs=0.03)
    some = rgmkit.degradation("inpaint:keep=0.5,seed=7,noise=0.2").at(0.4)
    fewer = some.A(torch.ones(1, 1, 60, 80))[0, 0] == 0
    assert some.noise == pytest.approx(0.08) and bool((half | ~fewer).all())  # nested
    assert float(fewer.float().mean()) == pytest.approx(0.2, abs=0.03)
    several = rgmkit.degradation("inpaint:keep=0.5,seed=7").A(torch.ones(3, 2, 60, 80)) == 0
    assert bool((several == half).all())


def test_boxes():
    whole, part = lost("inpaint:box=[2, 3, 4, 6]", 12, 15), rgmkit.degradation("inpaint:box=[2, 3, 4, 6]").at(0.5)
    expected = torch.zeros(12, 15, dtype=torch.bool)
    expected[2:6, 3:9] = True
    assert torch.equal(whole, expected)
    smaller = part.A(torch.ones(1, 1, 12, 15))[0, 0] == 0
    assert int(smaller.sum()) == 2 * 3 and bool((whole | ~smaller).all())
    assert torch.equal(lost("inpaint:box=[4, 5]", 12, 15), lost("inpaint:box=[4, 5, 4, 5]", 12, 15))
    assert torch.equal(lost("inpaint", 12, 15), lost("inpaint:box=[3, 4, 6, 7]", 12, 15))


def test_mask_of_an_image(tmp_path):
    values = torch.rand(1, 1, 9, 14, generator=seeded(1))
    alpha = (torch.rand(1, 1, 9, 14, generator=seeded(2)) < 0.8).float()
    write(tmp_path / "mask.png", Picture(values, alpha))
    stored = read(tmp_path / "mask.png")
    hole = rgmkit.degradation("inpaint", mask=str(tmp_path / "mask.png"))
    known = (stored.x >= 0.5) & (alpha == 1)
    x = images(2, 3, 9, 14)
    assert torch.equal(hole.A(x), x * known)
    for mask in (known[0, 0], known, known[0, 0].float().numpy()):
        assert torch.equal(rgmkit.degradation("inpaint", mask=mask).A(x), x * known)
    half = hole.at(0.5)
    assert torch.allclose(half.A(x), (x + hole.embed(x * known)) / 2)
    with pytest.raises(IncompatibleError, match=r"mask\.png has 9 x 14 pixels and the image 14 x 9 .* give a mask"):
        hole.A(x.mT)
    write(tmp_path / "black.png", torch.zeros(1, 9, 14))
    with pytest.raises(DataError, match=r"black\.png is nowhere white"):
        rgmkit.degradation("inpaint", mask=tmp_path / "black.png")
    with pytest.raises(DataError, match=r"nosuch\.png"):
        rgmkit.degradation("inpaint:mask=nosuch.png")
    with pytest.raises(DataError, match=r"shape \(2, 9, 14\)"):
        rgmkit.degradation("inpaint", mask=torch.ones(2, 9, 14))


@pytest.mark.parametrize("spec", ["inpaint:keep=0.1", "inpaint:keep=0.5", "inpaint", "inpaint:box=[0, 0, 151, 150]"])
def test_holes_are_filled_from_what_is_around_them(spec):
    hole = rgmkit.degradation(spec)
    y = hole.A(COLOUR)
    filled, known = hole.embed(y), hole.A(torch.ones_like(COLOUR)) == 1
    assert torch.equal(filled[known], COLOUR[known])
    assert torch.equal(hole.embed(y + torch.where(known, 0, 5.0)), filled)  # what the holes hold counts nowhere
    low, high = (f(COLOUR.where(known, edge).flatten(2), -1)[:, :, None, None] for f, edge in
                 ((torch.amin, 2.0), (torch.amax, -1.0)))  # fmt: skip
    assert bool(((filled >= low - 1e-6) & (filled <= high + 1e-6)).all())
    even = hole.embed(hole.A(torch.full_like(COLOUR, 0.3)))
    assert torch.allclose(even, torch.full_like(even, 0.3))
    mean = COLOUR.where(known, 0).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)
    gain = psnr(filled, COLOUR) - psnr(COLOUR.where(known, mean), COLOUR)
    assert float(gain) > (10 if "keep" in spec else 1)


@pytest.mark.parametrize("spec", ["inpaint:keep=0.4", "inpaint", "inpaint:keep=1"])
@pytest.mark.parametrize("noise", [0.03, 0.1])
def test_noise_is_estimated_from_known_pixels(spec, noise):
    name, _, options = spec.partition(":")
    hole = rgmkit.degradation(f"{name}:{','.join(filter(None, [options, f'noise={noise}']))}")
    y = hole(GREY, generator=seeded(3))
    assert hole.estimate_noise(y) == pytest.approx(noise, rel=0.15)
    known = hole.A(torch.ones_like(y)) == 1
    assert hole.estimate_noise(y.where(known, -7)) == hole.estimate_noise(y)
    clipped = (255 * y.clamp(0, 1)).round() / 255
    assert hole.estimate_noise(clipped) == pytest.approx(noise, rel=0.2)


def test_too_little_to_estimate_noise_from():
    sparse = rgmkit.degradation("inpaint:keep=0.05")
    with pytest.raises(DataError, match=r"only \d+ blocks of 2 x 2 pixels .* give noise="):
        sparse.estimate_noise(sparse.A(GREY))
    with pytest.raises(DataError, match="give noise="):
        rgmkit.degradation("inpaint:keep=0.5").estimate_noise(torch.zeros(1, 1, 64, 64))


# grayscale


def test_grey_is_pillows():
    x = COLOUR.double()
    y = rgmkit.degradation("grayscale").A(x)
    pillow = np.asarray(Image.fromarray((255 * x[0]).round().byte().movedim(0, -1).numpy()).convert("L"))
    assert np.abs(255 * y[0, 0].numpy() - pillow).max() < 0.51
    mean = rgmkit.degradation("grayscale:weights=mean")
    assert torch.allclose(mean.A(x), x.mean(1, keepdim=True))
    for spec in ("grayscale", "grayscale:weights=mean", "grayscale:weights=[2, 1, 0]"):
        grey = rgmkit.degradation(spec)
        y = grey.A(x)
        assert torch.allclose(grey.A(grey.embed(y)), y) and torch.allclose(grey.A(grey.pinv(y)), y)
        assert float(grey.embed(y).std(1).max()) < 1e-12
    with pytest.raises(IncompatibleError, match=r"3 weights .* \(1, 1, 170, 171\): give an image of 3 channels"):
        rgmkit.degradation("grayscale").A(torch.zeros(1, 1, 170, 171))


# motion-blur


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
    places = trajectory.places(40000)
    assert np.ptp(places, axis=0).max() == pytest.approx(19.3, rel=0.01)
    # a share among pixels adds the variance of a fraction, at most 1/4, and keeps the rest
    assert np.abs(covariance - np.cov(places.T)).max() < 0.26
    assert np.array_equal(taps, Trajectory(size=19.3, shake=shake, seed=seed).kernel().taps)
    assert not np.array_equal(taps, Trajectory(size=19.3, shake=shake, seed=seed + 1).kernel().taps)
    # the same way at any size
    assert np.allclose(trajectory.at(0.5).places(100), trajectory.places(100) / 2)
    assert np.array_equal(trajectory.at(0).kernel().taps, np.ones((1, 1))) or trajectory.at(0).kernel().taps.max() == 1


def test_without_a_shake_the_motion_is_straight():
    shaken = Trajectory(size=20, shake=0, seed=2)
    way = shaken.places(2000)[-1] - shaken.places(2000)[0]
    straight = Motion(length=float(np.linalg.norm(way)), angle=float(np.degrees(np.arctan2(-way[0], way[1]))))
    for ours, theirs in zip(moments(shaken.kernel().taps), moments(straight.kernel().taps), strict=True):
        assert np.abs(ours - theirs).max() < 0.3


def test_motion_blur_is_of_the_family():
    x = images(1, 1, 20, 22)
    half = rgmkit.degradation("motion-blur", size=8, seed=4, noise=0.1, boundary="replicate").at(0.5)
    same = rgmkit.degradation("motion-blur", size=4, seed=4, noise=0.05, boundary="replicate")
    assert torch.equal(half.A(x), same.A(x)) and half.noise == same.noise


# compose


def test_compose_is_one_after_the_other():
    blur, down = rgmkit.degradation("blur", std=1), rgmkit.degradation("downsample", factor=3)
    both = rgmkit.degradation("compose", of=[blur, down], noise=0.1)
    x = images(2, 2, 12, 15)
    y = down.A(blur.A(x))
    assert torch.equal(both.A(x), y)
    assert torch.equal(both.adjoint(y), blur.adjoint(down.adjoint(y)))
    assert torch.equal(both.embed(y), blur.embed(down.embed(y)))
    assert both.image_shape(tuple(y.shape)) == tuple(x.shape)
    half = both.at(0.5)
    assert half.noise == pytest.approx(0.05)
    assert torch.allclose(half.A(x), down.at(0.5).A(blur.at(0.5).A(x)))
    inner = rgmkit.degradation("compose", of=[both.at(0), down])
    assert torch.allclose(inner.A(x), down.A(x))


def test_compose_of_specs(tmp_path):
    text = "degradation: {use: compose, of: [{use: blur, std: 2}, {use: downsample, factor: 2}], noise: .01}"
    (tmp_path / "a.yaml").write_text(text)
    both = build("degradation", read_yaml(tmp_path / "a.yaml")["degradation"])
    typed = rgmkit.degradation("compose:of=[{use: blur, std: 2}, 'downsample:factor=2'],noise=0.01")
    x = images(1, 3, 8, 6)
    assert both.noise == 0.01 and torch.equal(both.A(x), typed.A(x))
    assert [type(step).__name__ for step in both.of] == ["Blur", "Downsample"]
    with pytest.raises(ConfigError, match=r"degradation\.of\[1\]\.factr .* did you mean 'factor'"):
        build("degradation", {"use": "compose", "of": ["blur", {"use": "downsample", "factr": 2}]})
    with pytest.raises(ConfigError, match=r"of\[1\], GaussianNoise, has noise 0\.1: .* noise: 0\.1"):
        rgmkit.degradation("compose:of=[blur, gaussian-noise]")
    with pytest.raises(ConfigError, match="of is empty"):
        rgmkit.degradation("compose:of=[]")


def test_compose_says_which_shapes_it_can_take():
    steps = ["downsample:factor=2", "blur", "downsample:factor=3"]
    both = rgmkit.degradation("compose", of=steps)
    assert both.usable_shape((1, 3, 31, 45)) == (1, 3, 30, 42)
    assert both.A(torch.zeros(1, 3, 30, 42)).shape == (1, 3, 5, 7)
    assert rgmkit.degradation("compose", of=["grayscale", *steps]).usable_shape((3, 31, 45)) == (3, 30, 42)
    assert rgmkit.degradation("compose:of=[blur]").usable_shape((1, 3, 31, 45)) == (1, 3, 31, 45)
    with pytest.raises(IncompatibleError, match="larger than a side"):
        both.usable_shape((1, 3, 5, 45))


def test_compose_knows_what_its_steps_know():
    lossy = rgmkit.degradation("compose:of=[blur, 'jpeg:quality=50']")
    assert not lossy.linear
    for call in (lossy.adjoint, lossy.pinv, lambda y: lossy.prox(y, y, 1.0)):
        with pytest.raises(IncompatibleError, match="not linear"):
            call(GREY)
    holed = rgmkit.degradation("compose:of=['blur:std=1', 'inpaint:keep=0.5'],noise=0.05")
    assert holed.estimate_noise(holed(GREY, generator=seeded(0))) == pytest.approx(0.05, rel=0.1)


# jpeg


@pytest.mark.parametrize(
    "spec", ["jpeg:quality=80,noise=0.1", "jpeg:quality=30,subsampling='4:2:2'", "jpeg:quality=97"]
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("check", checks("degradation"))
def test_jpeg_conforms(check, channels, spec):
    check(rgmkit.degradation(spec), (channels, 13, 21))


def pillows(x: torch.Tensor, quality: int, subsampling: str) -> torch.Tensor:
    file = io.BytesIO()
    array = (255 * x[0]).round().byte().movedim(0, -1).numpy().squeeze()
    Image.fromarray(array).save(file, "jpeg", quality=quality, subsampling=subsampling)
    return torch.from_numpy(np.atleast_3d(np.array(Image.open(file)))).movedim(-1, 0)[None] / 255


@pytest.mark.parametrize("quality", [5, 20, 49, 50, 75, 95, 100])
@pytest.mark.parametrize(("x", "subsampling"), [(GREY, "4:4:4"), *[(COLOUR, s) for s in ("4:4:4", "4:2:2", "4:2:0")]])
def test_jpeg_is_pillows(x, subsampling, quality):
    found = rgmkit.degradation("jpeg", quality=quality, subsampling=subsampling).A(x)
    expected = pillows(x, quality, subsampling)
    assert float(255 * (found - expected).abs().mean()) < (0.3 if x is GREY else 0.6)


def test_jpeg_severities():
    jpeg = rgmkit.degradation("jpeg:quality=10,noise=0.1")
    assert torch.equal(jpeg.at(0).A(COLOUR), COLOUR)
    assert torch.equal(jpeg.at(0.5).A(COLOUR), rgmkit.degradation("jpeg:quality=55").A(COLOUR))
    errors = [float((jpeg.at(s).A(COLOUR) - COLOUR).norm()) for s in (0, 0.25, 0.5, 0.75, 1)]
    assert errors == sorted(errors) and len(set(errors)) == 5


def test_gradients_go_straight_through_jpeg():
    x = (1.2 * COLOUR - 0.1)[..., :31, :18].double().requires_grad_()  # beyond [0, 1], where values are clipped
    w = images(1, 3, 31, 18)
    (slope,) = torch.autograd.grad((rgmkit.degradation("jpeg:quality=5,subsampling='4:4:4'").A(x) * w).sum(), x)
    assert torch.allclose(slope, w)
    (slope,) = torch.autograd.grad((rgmkit.degradation("jpeg:quality=5").A(x) * w).sum(), x)
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    assert bool(slope.isfinite().all()) and torch.allclose(slope.sum(1), w.sum(1))  # grey passes whole
    assert float((luma.reshape(1, 3, 1, 1) * slope).abs().min()) > 0


def test_jpeg_trains_and_serves_one_shot(tmp_path):
    config = {
        "data": "digits",
        "network": {"use": "unet", "width": 8, "multipliers": [1, 2], "blocks": 1, "latent": 2},
        "process": {"use": "severity", "levels": 3, "degradation": {"use": "jpeg", "quality": 10}},
        "training": {"steps": 2, "batch": 4, "preview_every": 0},
    }
    rgmkit.train(config, out=tmp_path / "model", progress=False)
    model = rgmkit.load(tmp_path / "model")
    assert rgmkit.generate(model, 2).shape == (2, 1, 16, 16)
    x = torch.rand(2, 1, 16, 16, generator=seeded(0))
    y = rgmkit.degradation("jpeg:quality=20").A(x)
    for prior in (model, "digits"):
        solution = rgmkit.restore(y, "jpeg:quality=20", prior)
        assert solution.nfe <= 2 and solution.x.shape == x.shape
    with pytest.raises(IncompatibleError, match="one-shot"):
        rgmkit.restore(y, rgmkit.degradation("jpeg:quality=20"), "digits", solver="cascade")
    with pytest.raises(IncompatibleError, match=r"1 or 3 channels, not the shape \(1, 2, 9, 9\)"):
        rgmkit.degradation("jpeg").A(torch.zeros(1, 2, 9, 9))


# all


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("inpaint:keep=0.5,box=[3, 3]", "keep and box are given"),
        ("inpaint:seed=3", "seed is 3, and nothing is random: give keep"),
        ("inpaint:keep=0", "keep is 0"),
        ("inpaint:keep=1.5", "keep is 1.5"),
        ("inpaint:box=[1, 2, 0, 4]", r"box is \[1, 2, 0, 4\]"),
        ("inpaint:box=[1, 2, 3]", "box"),
        ("grayscale:weights=[0, 0, 0]", "not all 0"),
        ("grayscale:weights=luminance", "'luma'"),
        ("motion-blur:size=-1", "size is -1"),
        ("motion-blur:shake=-1", "shake is -1"),
        ("jpeg:quality=0", "quality is 0"),
        ("jpeg:subsampling='4:1:1'", "'4:2:0'"),
    ],
)
def test_wrong_options(spec, words):
    with pytest.raises(ConfigError, match=words):
        rgmkit.degradation(spec)


def test_holes_that_do_not_fit():
    with pytest.raises(IncompatibleError, match="pixels 2 to 9 of a side of 8 pixels"):
        rgmkit.degradation("inpaint:box=[2, 0, 8, 3]").A(torch.zeros(1, 1, 8, 20))
    with pytest.raises(IncompatibleError, match="leaves nothing of an image of 8 x 9"):
        rgmkit.degradation("inpaint:box=[8, 9]").A(torch.zeros(1, 1, 8, 9))


@pytest.mark.parametrize("spec", ["inpaint:keep=0.5,noise=0.05", "inpaint:mask=mask.png", "motion-blur:size=7,seed=3"])
def test_commands_restore_a_photograph_of_odd_size(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = COLOUR[..., :91, 40:145]
    write("photo.png", x[0])
    mask = torch.ones(1, 91, 105)
    mask[:, 40:44] = mask[:, :, 60:63] = 0
    write("mask.png", mask)
    commands = [
        ["degrade", "photo.png", "-d", spec, "-o", "y.png"],
        ["restore", "y.png", "-d", spec, "--prior", "tv", "-o", "restored.png"],
    ]
    for command in commands:
        with pytest.raises(SystemExit) as exited:
            main(command)
        assert exited.value.code == 0, command
    before, after = (float(psnr(read(name).x, x)) for name in ("y.png", "restored.png"))
    assert after > before + (10 if "inpaint" in spec else 1)
