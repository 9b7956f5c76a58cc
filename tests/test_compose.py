"""Degradations one after the other."""

from __future__ import annotations

import pytest
import torch
from pictures import GREY, normal

import rgmkit
from rgmkit.config import build
from rgmkit.config.text import read_yaml
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError, IncompatibleError


def test_compose_is_one_after_the_other():
    blur, down = rgmkit.degradation("blur", std=1), rgmkit.degradation("downsample", factor=3)
    both = rgmkit.degradation("compose", of=[blur, down], noise=0.1)
    x = normal(2, 2, 12, 15)
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
    x = normal(1, 3, 8, 6)
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
