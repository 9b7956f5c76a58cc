"""Inpainting: masks, filled holes, and noise estimated from known pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pictures import COLOUR, GREY, normal

import rgmkit
from rgmkit.cli.app import main
from rgmkit.core.holes import fill_holes
from rgmkit.core.random import seeded
from rgmkit.errors import DataError, IncompatibleError
from rgmkit.images import Picture, read, write

psnr = rgmkit.metric("psnr")


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


@pytest.mark.filterwarnings("ignore:.*grey pixels")
def test_mask_of_an_image(tmp_path):
    values = torch.rand(1, 1, 9, 14, generator=seeded(1))
    alpha = (torch.rand(1, 1, 9, 14, generator=seeded(2)) < 0.8).float()
    write(tmp_path / "mask.png", Picture(values, alpha))
    stored = read(tmp_path / "mask.png")
    hole = rgmkit.degradation("inpaint", mask=str(tmp_path / "mask.png"))
    known = (stored.x >= 0.5) & (alpha == 1)
    x = normal(2, 3, 9, 14)
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


def test_masks_of_0_and_1_inverted_and_grown(tmp_path):
    known = torch.ones(9, 14, dtype=torch.bool)
    known[3:5, 6] = False
    ones = torch.ones(1, 1, 9, 14)
    write(tmp_path / "ones.png", known[None] / 255)  # 0 and 1 of 255
    arrays = [known.byte().numpy(), 255 * known.byte().numpy(), known.int() * 40000, known / 255]
    for mask in (tmp_path / "ones.png", *arrays):
        assert torch.equal(rgmkit.degradation("inpaint", mask=mask).A(ones)[0, 0] == 1, known)
        assert torch.equal(rgmkit.degradation("inpaint", mask=mask, invert=True).A(ones)[0, 0] == 1, ~known)
    grown = rgmkit.degradation("inpaint", mask=known, grow=2).A(ones)[0, 0] == 0
    expected = torch.zeros(9, 14, dtype=torch.bool)
    expected[1:7, 4:9] = True
    assert torch.equal(grown, expected)
    assert torch.equal(rgmkit.degradation("inpaint", mask=~known, invert=True, grow=2).A(ones)[0, 0] == 0, expected)
    with pytest.raises(DataError, match="nowhere white after missing regions are widened by 9 pixels"):
        rgmkit.degradation("inpaint", mask=known, grow=9)


@pytest.mark.parametrize(("white", "dtype"), [(255, "uint8"), (255, "float32"), (254.5, "float32"), (65000, "float64")])
def test_masks_in_units_of_8_or_16_bits(white, dtype):
    mask = np.full((8, 8), white, dtype=dtype)
    mask[2:6, 2:6] = 3  # hardly black, as in a JPEG file
    mask[3, 3] = 0
    hole = rgmkit.degradation("inpaint", mask=mask)
    assert torch.equal(hole.A(torch.ones(1, 1, 8, 8))[0, 0] == 1, torch.from_numpy(mask > 3))


def test_grey_pixels_of_a_mask_are_noted():
    mask = torch.ones(9, 14)
    mask[4, 3:6] = torch.tensor([0.4, 0, 0.6])
    with pytest.warns(UserWarning, match=r"2 grey pixels, as at antialiased edges.* grow=1"):
        hole = rgmkit.degradation("inpaint", mask=mask)
    assert torch.equal(hole.A(torch.ones(1, 1, 9, 14))[0, 0] == 1, mask >= 0.5)


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


def test_holes_that_do_not_fit():
    with pytest.raises(IncompatibleError, match="pixels 2 to 9 of a side of 8 pixels"):
        rgmkit.degradation("inpaint:box=[2, 0, 8, 3]").A(torch.zeros(1, 1, 8, 20))
    with pytest.raises(IncompatibleError, match="leaves nothing of an image of 8 x 9"):
        rgmkit.degradation("inpaint:box=[8, 9]").A(torch.zeros(1, 1, 8, 9))


def test_a_mask_of_another_size_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("photo.png", COLOUR[0, :, :20, :30])
    write("mask.png", torch.ones(1, 20, 29))
    for command in ("degrade", "restore"):
        with pytest.raises(SystemExit) as exited:
            main([command, "photo.png", "-d", "inpaint:mask=mask.png", "-o", "out.png"])
        said = capsys.readouterr()
        assert exited.value.code == 2 and len(said.err.splitlines()) == 1 and "give a mask of the size" in said.err
        assert not (tmp_path / "out.png").exists()


def test_rows_are_filled_as_columns_are():
    x = torch.rand(1, 2, 13, 22, generator=seeded(0))
    known = x > 0.7
    torch.testing.assert_close(fill_holes(x.mT, known.mT), fill_holes(x, known).mT)
