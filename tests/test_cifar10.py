"""The shipped model `cifar10`: it restores small colour pictures, and generates pictures of several kinds."""

from __future__ import annotations

import pytest
import torch
from skimage import data
from torch.nn.functional import interpolate

import rgmkit
from rgmkit.models.features import load_features

psnr = rgmkit.metric("psnr")


@pytest.fixture(scope="module")
def pictures():
    """Three photographs, reduced to 32 x 32 pixels."""
    photographs = (data.astronaut()[:448, :448], data.chelsea()[:, 60:360], data.coffee()[:400, 100:500])
    whole = [torch.from_numpy(each.copy()).permute(2, 0, 1)[None] / 255 for each in photographs]
    return torch.cat([interpolate(each, size=(32, 32), mode="area") for each in whole])


@pytest.mark.parametrize("spec", ["gaussian-noise:noise=0.1", "inpaint:keep=0.5,noise=0.02", "grayscale:noise=0.02"])
def test_restores_better_than_total_variation(pictures, spec):
    degradation = rgmkit.degradation(spec)
    y = degradation(pictures, generator=rgmkit.Streams(0, range(3)))
    network, smooth = (rgmkit.restore(y, degradation, prior) for prior in ("cifar10", "tv"))
    assert network.nfe <= 16
    assert psnr(network.x.clamp(0, 1), pictures).mean() > psnr(smooth.x.clamp(0, 1), pictures).mean()


def test_generates_pictures_that_a_classifier_recognises():
    """In six evaluations, the same for the same seed, and of most of the ten classes."""
    calls = []
    pictures = rgmkit.generate("cifar10", 64, seed=1)
    two = rgmkit.generate("cifar10", 2, seed=1, callback=lambda step, steps, x: calls.append(step))
    assert pictures.shape == (64, 3, 32, 32) and calls == [1, 2, 3, 4, 5, 6]
    torch.testing.assert_close(two, pictures[:2], atol=1e-4, rtol=0)
    sure, kinds = load_features("cifar10").classify(pictures).softmax(1).max(1)
    assert len(kinds.unique()) >= 7 and float(sure.median()) > 0.4
