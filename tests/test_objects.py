"""Objects that show themselves: `repr` is the call that makes a component."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
import re

import matplotlib
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import nn

import rgmkit
from rgmkit import plugins
from rgmkit.core.printable import show_option
from rgmkit.images.view import make_view
from rgmkit.plugins.synonyms import SYNONYMS

matplotlib.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")


class Strangers(rgmkit.Degradation):
    """A degradation as others write it: one option is stored under another name, one is converted."""

    def __init__(self, *, steps: int = 3, kernel: str = "box", **options):
        super().__init__(**options)
        self.steps_taken, self.kernel = steps, {"box": 1.0, "disc": 2.0}[kernel]

    def A(self, x):
        return x


class Child(Strangers):
    """It inherits the constructor."""


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (lambda: rgmkit.prior("tv", weight=4), "TV(weight=4)"),
        (lambda: rgmkit.prior("tv"), "TV()"),
        (lambda: rgmkit.degradation("blur", std=2, noise=1 / 3), "Blur(std=2, noise=0.333333)"),
        (lambda: rgmkit.degradation("blur", std=2, noise=0.1).with_noise(None), "Blur(std=2, noise=None)"),
        (
            lambda: rgmkit.degradation("compose", of=["blur:std=1", "downsample:factor=4"]),
            "Compose(of=[Blur(std=1), Downsample(factor=4)])",
        ),
        (lambda: rgmkit.degradation("inpaint"), "Inpaint()"),
        (lambda: rgmkit.noise("poisson", photons=30), "Poisson(photons=30)"),
        (lambda: rgmkit.noise("per-pixel", std=np.ones((3, 2))), "PerPixel(std=<3x2>)"),
        (
            lambda: rgmkit.solver("gauss-newton", solver="pnp-drs:iterations=8"),
            "GaussNewton(solver=PnPDRS(iterations=8))",
        ),
        (
            lambda: rgmkit.process("gaussian", levels=3, schedule="geometric"),
            "GaussianProcess(levels=3, schedule='geometric')",
        ),
        (lambda: rgmkit.metric("psnr"), "PSNR()"),
        (lambda: Strangers(), "Strangers()"),
        (lambda: Strangers(steps=5, kernel="disc", noise=0.5), "Strangers(steps=5, kernel='disc', noise=0.5)"),
        (lambda: Child(kernel="disc"), "Child(kernel='disc')"),
        (lambda: copy.deepcopy(pickle.loads(pickle.dumps(Child(steps=1)))), "Child(steps=1)"),
    ],
)
def test_repr_is_the_call(made, shown):
    assert repr(made()) == shown


def test_repr_shows_an_option_that_was_changed_later():
    prior = rgmkit.prior("tv", weight=4)
    prior.weight = 5.0
    strangers = Strangers(kernel="disc")
    strangers.kernel = 7.0
    assert (repr(prior), repr(strangers)) == ("TV(weight=5)", "Strangers(kernel=7)")


def test_repr_of_a_network_is_one_line():
    prior = rgmkit.load("digits")
    size = f"{sum(p.numel() for p in prior.parameters()):,}"
    assert repr(prior) == f"NetworkPrior(digits, UNet, {size} parameters, 4 levels, grey (1, 16, 16))"
    assert show_option(nn.Sequential(nn.Linear(2, 3), nn.ReLU())) == "Sequential(9 parameters)"


def test_what_was_given_is_no_part_of_the_weights():
    assert not [name for name in rgmkit.load("digits").state_dict() if "given" in name]
    assert torch.equal(Strangers(steps=2).A(torch.ones(1)), torch.ones(1))


@pytest.fixture(scope="module")
def restored():
    y = np.linspace(0, 255, 20 * 24).reshape(20, 24).astype(np.uint8)
    return y, rgmkit.restore(y, "gaussian-noise", "tv", solver="admm:iterations=2")


def test_solution_says_how_it_was_made(restored):
    y, solution = restored
    assert (
        solution.y is y
        and solution.solver == "ADMM(iterations=2)"
        and solution.degradation == "GaussianNoise(noise=None)"
    )
    shown = repr(solution)
    assert re.match(r"TV\(weight=[\d.]+\)", solution.prior) and solution.prior in shown and solution.solver in shown
    assert f"noise={solution.noise:g}" in shown and f"\n  note: {solution.notes[0]}" in shown and len(shown) < 400


def test_solution_of_before_is_still_read(restored):
    state = {
        k: v for k, v in vars(restored[1]).items() if k not in ("y", "degradation", "prior", "solver", "axes", "range")
    }
    old = object.__new__(rgmkit.Solution)
    vars(old).update(state)
    assert pickle.loads(pickle.dumps(old)).y is None and "ADMM" not in repr(old)


def test_solution_is_saved_and_overwrites_nothing_unasked(restored, tmp_path):
    _, solution = restored
    assert solution.save(tmp_path / "x.png").bits == 8
    assert np.array_equal(255 * rgmkit.images.read(tmp_path / "x.png").x[0, 0].numpy(), solution.x)
    with pytest.raises(rgmkit.DataError, match=r"x\.png exists: give another name, or overwrite=True"):
        solution.save(tmp_path / "x.png")
    solution.save(tmp_path / "x.png", overwrite=True)
    with pytest.raises(rgmkit.DataError, match="too long"):
        solution.save(tmp_path / ("x" * 300 + ".png"))


@pytest.mark.parametrize(
    ("x", "axes", "range", "file", "stored"),
    [
        (np.full((2, 5, 4), 2000, np.int32), "ZYX", (0, 4000), "x.tif", 2000),
        (np.full((5, 4, 3), 0.25), "YX", None, "x.npy", 0.25),  # of a measurement without colours
        (torch.full((2, 3, 5, 4), 0.25), None, None, "x.tif", 0.25),
        (torch.full((3, 5, 4), 7, dtype=torch.uint8), None, None, "x.npy", 7 / 255),
        (torch.full((2, 3), 1.5), None, None, "x.npy", 1.5),
        (torch.full((1, 1, 2, 3), 1j), None, None, "x.npy", 1j),
    ],
)
def test_solution_of_any_layout_is_saved(tmp_path, x, axes, range, file, stored):
    rgmkit.Solution(x, axes=axes, range=range).save(tmp_path / file)
    array = tifffile.imread(tmp_path / file) if file == "x.tif" else np.load(tmp_path / file)
    assert array.shape == tuple(x.shape) and np.allclose(array, stored, rtol=1e-6)


def test_solution_shows_measurement_and_estimate(restored, monkeypatch):
    y, solution = restored
    monkeypatch.setattr(plt, "show", lambda: None)
    std = np.stack([y / 1000, y / 500])  # of two images, of which the first is shown
    dataclasses.replace(solution, y=np.stack([y, y]), x=np.stack([y, y]), std=std, axes="BYX").show()
    panels = plt.gcf().axes
    assert [panel.get_title() for panel in panels] == ["measurement", "estimate", "std, white is 0.255"]
    assert all(panel.images[0].get_clim() == (0, 255) for panel in panels)
    assert np.array_equal(panels[0].images[0].get_array(), y) and panels[2].images[0].get_array().max() == 255
    plt.close("all")
    with Image.open(io.BytesIO(solution._repr_png_())) as png:
        assert png.size == (2 * 307 + 4, 256)
        assert np.array(png)[-1, 306, 0] == 255 and np.array(png)[0, 0, 0] == 0
    page = solution._repr_html_()
    assert page.count("<img") == 2 and "<pre>Solution(" in page and "&#x27;" not in page


@pytest.mark.parametrize(
    ("x", "shape", "brightest"),
    [
        (torch.full((2, 3, 8, 4), 0.5), (8, 4, 3), 128),
        (torch.full((8, 4), 3 + 4j)[None, None], (8, 4), 255),
        (torch.full((1, 2, 8, 4), 0.1), (8, 4), 36),  # real and imaginary parts
        (torch.full((1, 5, 8, 4), 0.2), (8, 4), 51),
        (np.full((8, 4), 40.0), (8, 4), 255),
    ],
)
def test_view_of_any_measurement(x, shape, brightest):
    view = make_view(x)
    assert view.dtype == np.uint8 and view.shape == shape and view.max() == brightest


def test_solution_without_a_picture_shows_its_facts():
    vectors = rgmkit.Solution(torch.zeros(2, 3))
    assert vectors._repr_png_() is None and vectors._repr_html_().startswith("<pre>Solution(x: Tensor (2, 3)")
    with pytest.raises(rgmkit.DataError, match="is no picture"):
        vectors.show()


def test_pictures_are_read_and_written_in_python(tmp_path):
    y = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    tensor = torch.from_numpy(y).permute(2, 0, 1)
    for name, picture in (("array.png", y), ("tensor.png", tensor), ("batch.png", tensor[None])):
        rgmkit.write(tmp_path / name, picture)
        assert torch.equal(255 * rgmkit.read(tmp_path / name).x, tensor[None].float())
    assert rgmkit.metric("psnr")(*2 * [rgmkit.read(tmp_path / "array.png").x]).isinf().all()


def test_names_are_listed_and_described():
    assert {"tv", "wavelet"} <= set(rgmkit.available("prior")) and "tv" not in rgmkit.available("solver")
    assert {"digits", "photographs"} <= set(rgmkit.available("model"))
    with pytest.raises(rgmkit.PluginError, match=r"no kind is named 'priors': give one of degradation.*model"):
        rgmkit.available("priors")
    text = rgmkit.describe("blur")
    assert text.startswith("degradation blur: Gaussian or motion blur, or a kernel from a file\n(rgmkit ")
    assert "  kernel: 'gaussian', 'motion' or a file path; default gaussian" in text
    assert "noise: " in text and "  weight: a number, 0 or more or null; default null" not in text
    both = rgmkit.describe("digits")
    assert both.startswith("data digits: ") and "\n\nmodel digits: a restoration-based generative model" in both
    assert rgmkit.describe("photographs").startswith("model photographs: ")


@pytest.mark.parametrize(
    ("kind", "word", "name"),
    [
        ("degradation", "super-resolution", "downsample"),
        ("degradation", "Super Resolution", "downsample"),
        ("degradation", "denoise", "gaussian-noise"),
        ("degradation", "deblur", "blur"),
        ("degradation", "gaussian_noise", "gaussian-noise"),
        ("noise", "gaussian", "white"),
        ("prior", "TV", "tv"),
        ("solver", "plug-and-play", "pnp-drs"),
        ("metric", "PSNR", "psnr"),
    ],
)
def test_an_error_names_what_was_meant(kind, word, name):
    with pytest.raises(rgmkit.PluginError, match=rf"no {kind} is named '{word}', the nearest is '{name}'"):
        getattr(rgmkit, kind)(word)


def test_every_synonym_is_of_a_component():
    names = {component.name for component in plugins.list_components()}
    assert set(SYNONYMS) <= names
    assert not [word for others in SYNONYMS.values() for word in others.split() if word != word.lower()]


def test_repr_of_a_picture_is_one_line():
    stack = rgmkit.images.Picture(torch.zeros(4, 1, 5, 7), alpha=torch.ones(4, 1, 5, 7), bits=16)
    assert repr(stack) == "Picture(4 of 1x5x7, 16 bits, with alpha)"
    assert repr(rgmkit.images.Picture(torch.zeros(1, 5, 7))) == "Picture(1x5x7, 8 bits)"
