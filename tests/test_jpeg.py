"""JPEG: against Pillow, straight-through gradients, training."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from pictures import COLOUR, GREY, normal
from PIL import Image

import rgmkit
from rgmkit.core.random import seeded
from rgmkit.errors import IncompatibleError
from rgmkit.testing import checks


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
    w = normal(1, 3, 31, 18)
    (slope,) = torch.autograd.grad((rgmkit.degradation("jpeg:quality=5,subsampling='4:4:4'").A(x) * w).sum(), x)
    assert torch.allclose(slope, w)
    (slope,) = torch.autograd.grad((rgmkit.degradation("jpeg:quality=5").A(x) * w).sum(), x)
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    assert bool(slope.isfinite().all()) and torch.allclose(slope.sum(1), w.sum(1))  # grey passes whole
    assert float((luma.reshape(1, 3, 1, 1) * slope).abs().min()) > 0


@pytest.mark.slow
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
