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
from rgmkit.errors import ConfigError, IncompatibleError
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


QUALITIES = [10, 40, 80]
KINDS = [(GREY, "4:4:4"), *[(COLOUR, s) for s in ("4:4:4", "4:2:2", "4:2:0")]]


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize(("x", "subsampling"), KINDS)
def test_the_image_lies_in_the_cells_of_its_file(x, subsampling, quality):
    x = x[..., :149, :131]
    jpeg = rgmkit.degradation("jpeg", quality=quality, subsampling=subsampling)
    for y in (jpeg.A(x), pillows(x, quality, subsampling)):
        cells = jpeg.find_cells(y)
        for (plane, table), cell in zip(jpeg.split(x), cells, strict=True):
            small = jpeg.shrink(plane) if table == "chrominance" else plane
            outside = (jpeg.to_steps(small, table) - cell).abs() > 0.51
            assert float(outside.float().mean()) < (0.06 if quality == 80 else 0.01)
        moved = jpeg.project(x, cells, width=1.02)
        assert float((moved - x).abs().mean()) < 1e-3  # a quarter of a grey level, for the codec rounds and clips
        back = jpeg.project(y, cells)
        assert float((back - y).abs().mean()) < 2e-3  # rounded to 8 bits
        blurred = rgmkit.degradation("blur", std=1).A(x)
        assert (jpeg.project(blurred, cells) - x).norm() < 0.95 * (blurred - x).norm()


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:2:0"])
def test_interpolated_colours_are_found_again(subsampling):
    x = torch.rand(1, 3, 64, 64, generator=seeded(0))
    jpeg = rgmkit.degradation("jpeg", quality=80, subsampling=subsampling)
    _, cell = jpeg.find_cells(jpeg.A(x))
    outside = (jpeg.to_steps(jpeg.shrink(jpeg.split(x)[1][0]), "chrominance") - cell).abs() > 0.51
    assert float(outside.float().mean()) < 0.02


@pytest.mark.parametrize(("channels", "subsampling"), [(1, "4:4:4"), (3, "4:4:4"), (3, "4:2:2"), (3, "4:2:0")])
def test_projection_is_that_of_a_quadratic_programme(channels, subsampling):
    """In YCbCr: the result is in the cells, and each change is along a coefficient at a face of its cell."""
    jpeg = rgmkit.degradation("jpeg", quality=30, subsampling=subsampling)
    z, y = normal(2, channels, 32, 16), normal(2, channels, 32, 16).flip(0).sigmoid()
    cells = jpeg.find_cells(jpeg.A(y))
    found = jpeg.project(z, cells, width=0.6)
    assert torch.allclose(jpeg.project(found, cells, width=0.6), found, atol=1e-12)
    for before, after, cell in zip(jpeg.split(z), jpeg.split(found), cells, strict=True):
        small = [plane if table == "luminance" else jpeg.shrink(plane) for plane, table in (before, after)]
        old, new = (jpeg.to_steps(plane, before[1]) for plane in small)
        assert float((new - cell).abs().max()) <= 0.3 + 1e-9
        moved = (new - old).abs() > 1e-9
        assert 0 < float(moved.double().mean()) < 1
        assert torch.allclose((new - cell)[moved].abs(), torch.tensor(0.3).double())
        assert bool(((new - old) * (new - cell) <= 1e-9).all())  # towards the cell
        # nothing changes but what the shrunk planes show
        change = after[0] - before[0]
        shown = jpeg.shrink(change) if before[1] == "chrominance" else change
        block = 1 if before[1] == "luminance" else change[0].numel() // shown[0].numel()
        assert torch.allclose(change.square().sum(), block * shown.square().sum())


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["tv", "photographs"])
def test_restorations_are_better_than_the_file(prior):
    x = COLOUR[..., 40:120, 30:110]
    jpeg = rgmkit.degradation("jpeg:quality=10")
    y = jpeg.A(x)
    psnr = rgmkit.metric("psnr")
    solution = rgmkit.restore(y, "jpeg:quality=10", prior)
    assert float(psnr(solution.x, x) - psnr(y, x)) > (0.7 if prior == "photographs" else 0.3)
    assert solution.nfe == (8 if prior == "photographs" else 0)


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize(("x", "subsampling"), [KINDS[0], KINDS[-1]])
def test_another_quality_is_noted(x, subsampling, quality):
    y = pillows(x, quality, subsampling)
    assert rgmkit.degradation("jpeg").find_quality(y) == quality
    given = [rgmkit.degradation("jpeg", quality=q, subsampling=subsampling) for q in (quality, 41)]
    right, wrong = (rgmkit.restore(y, jpeg, "tikhonov").notes for jpeg in given)
    assert not right and wrong == (f"the picture was not compressed with quality 41: give quality={quality}",)
    (note,) = rgmkit.restore(x, given[1], "tikhonov").notes
    assert "does not look as if it was compressed with quality 41" in note


def test_dequantise_is_for_jpeg():
    with pytest.raises(IncompatibleError, match="restores measurements of jpeg, not of GaussianNoise"):
        rgmkit.restore(GREY, "gaussian-noise:noise=0.1", "tv", solver="dequantise")
    with pytest.raises(ConfigError, match="std is -1"):
        rgmkit.solver("dequantise", std=-1)


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
        assert solution.nfe == 8 and solution.x.shape == x.shape
        once = rgmkit.restore(y, "jpeg:quality=20", prior, solver="one-shot")
        assert once.nfe <= 2 and once.x.shape == x.shape
    y = rgmkit.degradation("jpeg:quality=10").A(x)
    trained, once = (rgmkit.restore(y, "jpeg:quality=10,noise=0.001", model, solver=s) for s in (None, "one-shot"))
    assert trained.nfe <= 2 and torch.equal(trained.x, once.x)  # the network was trained on this compression
    with pytest.raises(IncompatibleError, match="use dequantise, or one-shot"):
        rgmkit.restore(y, rgmkit.degradation("jpeg:quality=20"), "digits", solver="cascade")
    with pytest.raises(IncompatibleError, match=r"1 or 3 channels, not the shape \(1, 2, 9, 9\)"):
        rgmkit.degradation("jpeg").A(torch.zeros(1, 2, 9, 9))
