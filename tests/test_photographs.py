"""Photographs through the command line, of any size, depth and number of channels, and the network for them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from pictures import CAMERA
from skimage import data

import rgmkit
from rgmkit import images, plugins
from rgmkit.cli.app import main
from rgmkit.core.random import Streams, seeded

psnr = rgmkit.metric("psnr")


@pytest.fixture(scope="module")
def digits():
    return rgmkit.load("digits")


def run(capsys, *args):
    """What a command says on stderr, once it has ended well."""
    with pytest.raises(SystemExit) as exited:
        main([str(arg) for arg in args])
    said = capsys.readouterr().err
    assert exited.value.code == 0, said
    return said


NESTED = {"compose": "compose:of=[{use: blur, std: 1}, {use: downsample, factor: 3}]"}


@pytest.mark.parametrize("name", sorted(component.name for component in plugins.list_components("degradation")))
def test_every_degradation_measures_and_restores_an_odd_photograph(name, capsys, tmp_path, digits):
    if name.startswith("deepinv."):
        pytest.skip("tested with deepinv")
    photo, y, x = (tmp_path / file for file in ("photo.png", "y.png", "x.png"))
    images.write(photo, torch.from_numpy(data.coffee()[:53, :41]).movedim(-1, 0) / 255)
    spec = NESTED.get(name, name)
    said = run(capsys, "degrade", photo, "-d", spec, "-o", y)
    assert ("cropped" in said) == (name in ("downsample", "compose", "bayer"))
    run(capsys, "restore", y, "-d", spec, "--prior", "digits", "--solver", "one-shot", "-o", x, "--truth", photo)
    height, width = images.read(x).x.shape[-2:]
    assert 51 <= height <= 53 and 39 <= width <= 41 and images.read(x).x.shape[1] == 3


def stored(path, array):
    """The whole numbers (H, W, C) of an 8 or 16-bit file, alpha last."""
    picture = images.read(path)
    x = picture.x if picture.alpha is None else torch.cat([picture.x, picture.alpha], 1)
    assert picture.bits == 8 * array.dtype.itemsize
    return (x[0].movedim(0, -1).double().numpy() * np.iinfo(array.dtype).max).round().astype(array.dtype)


@pytest.mark.parametrize(
    "ending, channels, dtype", [*itertools.product(["png", "tiff"], [1, 2, 3, 4], [np.uint8, np.uint16])]
)
def test_depth_and_alpha_are_kept(ending, channels, dtype, capsys, tmp_path):
    """Through degrade and restore, in tiles, and at another size."""
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (161, 21, channels)).astype(dtype)
    photo, y, x = (tmp_path / f"{name}.{ending}" for name in ("photo", "y", "x"))
    images.write(photo, as_picture(array))
    assert (stored(photo, array) == array).all()
    restoring = ("--prior", "digits", "--solver", "one-shot", "--tile", 48, "-o", x)
    run(capsys, "degrade", photo, "-d", "gaussian-noise:noise=0.01", "-o", y)
    said = run(capsys, "restore", y, "-d", "gaussian-noise:noise=0.01", *restoring)
    assert "2 tiles" in said and ("each of the 3 channels" in said) == (channels > 2)
    colours = slice(0, channels - (channels % 2 == 0))
    for path in (y, x):
        found = stored(path, array)
        assert found.shape == array.shape
        assert (found[..., colours.stop :] == array[..., colours.stop :]).all()  # alpha, to the bit
    assert len(np.unique(stored(x, array)[..., colours])) > (256 if dtype == np.uint16 else 16)
    run(capsys, "degrade", photo, "-d", "downsample:factor=2,noise=0.01", "-o", y)
    run(capsys, "restore", y, "-d", "downsample:factor=2,noise=0.01", *restoring)
    small, large = stored(y, array), stored(x, array)
    assert small.shape == (80, 10, channels) and large.shape == (160, 20, channels)
    assert (large[..., colours.stop :] == small.repeat(2, 0).repeat(2, 1)[..., colours.stop :]).all()


def as_picture(array):
    x = torch.from_numpy(array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)).movedim(-1, 0)[None]
    colours = x.shape[1] - (x.shape[1] % 2 == 0)
    return images.Picture(x[:, :colours], x[:, colours:] if colours < x.shape[1] else None, 8 * array.dtype.itemsize)


TASKS = [
    "blur:std=1.6,noise=0.02",
    "downsample:factor=2,noise=0.01",
    "inpaint:keep=0.5,noise=0",
    "gaussian-noise:noise=0.08",
]


@pytest.mark.parametrize("spec", TASKS)
def test_the_shipped_network_for_photographs(spec):
    """Better than total variation with its default weight, in 16 evaluations or fewer."""
    x = CAMERA[..., 200:296, 220:316]
    degradation = rgmkit.degradation(spec)
    y = degradation(x, generator=Streams(0, [0]))
    network, smooth = (rgmkit.restore(y, degradation, prior) for prior in ("photographs", "tv"))
    assert network.nfe <= 16 and psnr(network.x.clamp(0, 1), x) > psnr(smooth.x.clamp(0, 1), x) + 0.2


@pytest.mark.parametrize("std", [0.005, 0.01, 0.1])
def test_the_shipped_network_on_colour_photographs(std):
    """Better than the channels one by one on a colour photograph, and at any noise than the noisy picture."""
    x = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None, :, 100:228, 150:278] / 255
    y = x + std * torch.randn(x.shape, generator=seeded(0))
    prior = rgmkit.load("photographs")
    assert prior.channels == (1, 3) and prior.dtype == torch.float32 and not prior.generative
    by_channel = prior.denoise(y.flatten(0, 1)[:, None], std).reshape(y.shape)
    assert psnr(prior.denoise(y, std), x) > max(psnr(y, x) + 0.5, psnr(by_channel, x) + 0.25)
    assert psnr(prior.denoise(y[:, :1], std), x[:, :1]) > psnr(y[:, :1], x[:, :1]) + 0.2
