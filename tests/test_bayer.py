"""Raw pictures: the mosaic, linear demosaicing, noise, and restoration with hand-crafted priors and a network."""

from __future__ import annotations

import pytest
import torch
from pictures import COLOUR, normal

import rgmkit
from rgmkit.cli.app import main
from rgmkit.core.random import seeded
from rgmkit.errors import IncompatibleError
from rgmkit.images import read, write
from rgmkit.testing import checks

psnr = rgmkit.metric("psnr")
PHOTO = COLOUR[..., :180, :152]
PATTERNS = ["RGGB", "BGGR", "GRBG", "GBRG"]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("check", checks("degradation"))
def test_bayer_conforms(check, pattern):
    check(rgmkit.degradation("bayer", pattern=pattern, noise=0.1), (3, 12, 18))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_mosaic(pattern):
    x = normal(2, 3, 6, 8)
    y = rgmkit.degradation("bayer", pattern=pattern).A(x)
    for i, colour in enumerate(pattern):
        row, column = divmod(i, 2)
        assert torch.equal(y[:, 0, row::2, column::2], x[:, "RGB".index(colour), row::2, column::2])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_linear_demosaicing(pattern):
    bayer = rgmkit.degradation("bayer", pattern=pattern)
    y = bayer.A(PHOTO)
    for estimate, least in ((bayer.embed(y), 27), (bayer.initial_estimate(y), 31)):
        assert torch.equal(bayer.A(estimate), y)  # measured values are kept
        assert float(psnr(estimate, PHOTO)) > least
    slope = torch.linspace(0, 1, 12, dtype=torch.float64).reshape(-1, 1).expand(3, 12, 10)[None]
    for ramp in (slope, slope.mT):
        for estimate in (bayer.embed(bayer.A(ramp)), bayer.initial_estimate(bayer.A(ramp))):
            assert torch.allclose((estimate - ramp)[..., 2:-2, 2:-2], torch.zeros(()).double(), atol=1e-12)


def test_noise_of_a_raw_picture_is_estimated():
    bayer = rgmkit.degradation("bayer:noise=0.05")
    y = bayer(PHOTO, generator=seeded(1))
    assert bayer.estimate_noise(y) == pytest.approx(0.05, rel=0.2)
    y = rgmkit.degradation("bayer", noise=rgmkit.noise("poisson", photons=100))(PHOTO, generator=seeded(1))
    for noise in (None, rgmkit.noise("poisson")):
        found = rgmkit.restore(y, rgmkit.degradation("bayer", noise=noise), "tikhonov").noise
        assert found.photons == pytest.approx(100, rel=0.3)


@pytest.mark.slow
def test_restorations_are_better_than_the_bilinear_guess():
    x = COLOUR[..., 30:126, 20:116]
    bayer = rgmkit.degradation("bayer:noise=0.01")
    y = bayer(x, generator=seeded(0))
    guess = float(psnr(bayer.embed(y), x))
    with_tv, with_network = (rgmkit.restore(y, bayer, prior).x for prior in ("tv", "photographs"))
    assert float(psnr(with_tv, x)) > guess + 0.3
    assert float(psnr(with_network, x)) > guess + 5


def test_the_last_step_of_a_composition_tells_where_its_noise_is_estimated():
    y = normal(1, 1, 16, 20)
    together = rgmkit.degradation("compose", of=["blur:std=1", "bayer"])
    assert torch.equal(together.noise_planes(y), rgmkit.degradation("bayer").noise_planes(y))
    assert together.noise_planes(y).shape == (1, 4, 8, 10)


def test_pictures_that_are_not_raw():
    bayer = rgmkit.degradation("bayer")
    with pytest.raises(IncompatibleError, match=r"3 channels, not the shape \(1, 1, 8, 8\)"):
        bayer.A(torch.zeros(1, 1, 8, 8))
    with pytest.raises(IncompatibleError, match=r"one channel, not the shape \(1, 3, 8, 8\)"):
        rgmkit.restore(torch.zeros(1, 3, 8, 8), bayer, "tv")
    with pytest.raises(IncompatibleError, match="crop it to even sides, 8 x 10"):
        rgmkit.restore(torch.zeros(1, 1, 9, 10), bayer, "tv")
    assert bayer.usable_shape((1, 3, 9, 11)) == (1, 3, 8, 10)


def test_commands_restore_a_raw_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("photo.png", COLOUR[0, :, :41, :52])

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        return int(exited.value.code)

    options = ["-d", "bayer:pattern=GBRG,noise=0.01"]
    assert run("degrade", "photo.png", *options, "-o", "raw.png") == 0
    assert "cropped from 41x52 to 40x52" in capsys.readouterr().err
    assert read("raw.png").x.shape == (1, 1, 40, 52)
    assert run("restore", "raw.png", *options, "--truth", "photo.png", "-o", "out.png", "--prior", "tikhonov") == 0
    assert read("out.png").x.shape == (1, 3, 40, 52)
    write("odd.png", COLOUR[0, :1, :41, :52])
    for arguments in (
        ["raw.png", "-d", "bayer:pattern=RGBG"],
        ["odd.png", "-d", "bayer"],
        ["photo.png", "-d", "bayer"],
    ):
        capsys.readouterr()
        assert run("restore", *arguments, "--prior", "tv", "-o", "wrong.png") == 2
        assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / "wrong.png").exists()
