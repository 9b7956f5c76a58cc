"""Operators of deepinv by name, and rgmkit's degradations as operators of deepinv, under deepinv's own tests."""

from __future__ import annotations

import importlib
import sys

import deepinv
import pytest
import torch
from pictures import uniform
from rgmkit_deepinv import operators
from rgmkit_deepinv.objects import from_deepinv

import rgmkit
from rgmkit import plugins
from rgmkit.core.linear import operator_norm, per_image
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError, DataError, IncompatibleError
from rgmkit.testing import checks
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")
SHAPE = (2, 8, 12)
OPERATORS = {
    "deepinv.Tomography:width=12,angles=8,noise=0.1": (2, 12, 12),
    "deepinv.SinglePixel:shape=[2,8,16],measurements=20": (2, 8, 16),
    "deepinv.CompressedSensing:shape=[2,6,5],measurements=20,noise=0.1": (2, 6, 5),
    "deepinv.MRI:shape=[12,16],noise=0.1": (1, 12, 16),
    "deepinv.Demosaicing:noise=0.1": (3, 7, 8),
}


@pytest.mark.parametrize("check", checks("degradation"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("spec", OPERATORS, ids=lambda spec: spec.partition(":")[0])
def test_operators_by_name_conform(spec, check):
    check(rgmkit.degradation(spec).double(), OPERATORS[spec])


@pytest.fixture(scope="module")
def digits():
    return Digits(split="held-out").images[:24]


def quality(x, truth):
    return float(psnr(x.detach().clamp(0, 1).float(), truth).mean())


@pytest.mark.parametrize("spec", list(OPERATORS), ids=lambda spec: spec.partition(":")[0])
def test_operators_by_name_are_undone(digits, spec):
    name, color = spec.partition(":")[0], "Demosaicing" in spec
    sizes = {"Tomography": "width=16", "MRI": "shape=[16,16],acceleration=2", "Demosaicing": ""}
    options = sizes.get(name.partition(".")[2], "shape=[1,16,16],measurements=180")
    degradation = rgmkit.degradation(f"{name}:{options},noise=0.02".replace(":,", ":"))
    truth = digits[:2].expand(-1, 3, -1, -1) if color else digits[:2]
    y = degradation(truth, generator=seeded(1))
    x = rgmkit.restore(y, degradation, "tv", solver="admm:iterations=20").x
    assert quality(x, truth) > quality(y if color else degradation.embed(y), truth) + 3


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("deepinv.SinglePixel:shape=[1,4,4],measurements=5", (3, 4, 4)),
        ("deepinv.CompressedSensing:shape=[1,4,4],measurements=5", (1, 2, 8)),
        ("deepinv.MRI:shape=[4,4]", (1, 1, 4)),
    ],
)
def test_images_of_another_shape_are_not_measured(spec, shape):
    with pytest.raises(IncompatibleError) as caught:
        rgmkit.degradation(spec).A(uniform(2, *shape))
    assert f"cannot measure an image of shape {shape}: it is for images of shape (1, 4, 4)" in str(caught.value)


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ConfigError, match=r"deepinv.BM3D needs the package bm3d, which is not installed: pip install"):
        rgmkit.prior("deepinv.BM3D")
    with pytest.raises(ConfigError, match=r"prior 'deepinv.DRUNet' needs .*weights"):
        rgmkit.prior("deepinv.DRUNet")
    with pytest.raises(ConfigError, match="powers of 2"):
        rgmkit.degradation("deepinv.SinglePixel:shape=[1,12,12],measurements=4")
    with pytest.raises(ConfigError, match="measurements is 17: give 1 to 16"):
        rgmkit.degradation("deepinv.CompressedSensing:shape=[1,4,4],measurements=17")
    with pytest.raises(IncompatibleError, match="grey images, and this has 3"):
        operators.MRI(shape=(4, 4)).A(uniform(1, 3, 4, 4))
    with pytest.raises(ConfigError, match="acceleration is 17 for 8 columns: none is measured, give less"):
        operators.MRI(shape=(16, 8), acceleration=17)
    with pytest.raises(DataError, match="give noise="):
        rgmkit.restore(uniform(1, 2, 8, 8), "deepinv.MRI:shape=[8,8]", "tv")
    monkeypatch.undo()
    for bm3d in (rgmkit.prior("deepinv.BM3D"), from_deepinv(deepinv.models.BM3D())):  # the package would crash
        with pytest.raises(IncompatibleError, match="BM3D is for images of 9 x 9 pixels or more"):
            bm3d.prox(uniform(1, 1, 8, 8), 0.01)
    with pytest.raises(IncompatibleError, match="DPS needs gradients, and the prior BM3D"):
        rgmkit.restore(uniform(1, 1, 16, 16), "gaussian-noise:noise=0.1", "deepinv.BM3D", solver="deepinv.DPS")


@pytest.mark.parametrize("spec", ["downsample:factor=2,noise=0.1", "blur:std=1,noise=0.1,boundary=reflect"])
def test_a_degradation_as_an_operator_of_deepinv(spec):
    degradation = rgmkit.degradation(spec)
    physics = degradation.to_deepinv(SHAPE)
    x, z, gamma = (
        uniform(3, *SHAPE, dtype=torch.float64),
        uniform(3, *SHAPE, seed=1, dtype=torch.float64),
        torch.tensor([0.1, 1, 20], dtype=torch.float64),
    )
    y = degradation(x, generator=seeded(2))
    with torch.random.fork_rng():
        assert float(physics.adjointness_test(x)) < 1e-12
        torch.manual_seed(0)
        spread = float((physics(x.repeat(50, 1, 1, 1)) - physics.A(x).repeat(50, 1, 1, 1)).std())
    assert spread == pytest.approx(0.1, rel=0.05)
    expected = deepinv.physics.LinearPhysics.prox_l2(physics, z, y, per_image(gamma, z), max_iter=200, tol=1e-9)
    torch.testing.assert_close(physics.prox_l2(z, y, per_image(gamma, z)), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(physics.prox_l2(None, y, 2.0), degradation.prox(0 * z, y, 2.0))
    assert physics.degradation is not degradation


EXPORTED = {
    "gaussian-noise:noise=0": (3, 16, 12),
    "blur:std=1.3": (3, 16, 12),
    "blur:kernel=motion,length=5,angle=30": (3, 16, 12),
    "blur:std=1,boundary=reflect": (3, 16, 12),
    "blur:std=1,boundary=replicate": (3, 16, 12),
    "bayer:pattern=GRBG": (3, 16, 12),
    "downsample:factor=2": (3, 16, 12),
    "downsample:factor=2,filter=gaussian": (3, 16, 12),
    "downsample:factor=4,filter=bicubic": (3, 16, 12),
    "inpaint:keep=0.5,seed=1": (3, 16, 12),
    "inpaint:box=[4,6]": (3, 16, 12),
    "grayscale": (3, 16, 12),
    "motion-blur:seed=1": (3, 16, 12),
    "compose:of=[blur, {use: downsample, factor: 2}]": (3, 16, 12),
}


TESTS = [
    "test_operators_adjointness", "test_operators_norm", "test_pseudo_inverse", "test_concatenation",
    "test_operators_differentiability", "test_device_consistency", "test_physics_state_dict", "test_adjoint_autograd",
    "test_clone", "test_operator_cropper", "test_operator_multiscale_wrapper", "test_multiscale_coarse_adjointness",
    "test_multiscale_A_adjoint_A",
]  # fmt: skip


@pytest.fixture(scope="module")
def theirs():
    return importlib.import_module("deepinv.tests.test_physics")


@pytest.fixture
def exported(theirs, monkeypatch, tmp_path):
    """deepinv's tests, whose operators are rgmkit's degradations by their spec."""

    def find_operator(name, device, imsize=None, get_physics_param=False):
        shape = tuple(imsize or EXPORTED[name])
        degradation = rgmkit.degradation(name)
        physics = degradation.to_deepinv(shape).to(device)
        norm = operator_norm(
            lambda x: degradation.adjoint(degradation.A(x)), (1, *shape), generator=seeded(0), rtol=1e-7
        )
        found = physics, shape, torch.tensor(norm), torch.float32
        return (*found, []) if get_physics_param else found

    monkeypatch.setattr(theirs, "find_operator", find_operator)
    monkeypatch.setattr(theirs, "OPERATORS", list(EXPORTED))
    monkeypatch.chdir(tmp_path)  # one of them writes files
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield theirs


def test_every_linear_degradation_is_exported():
    ours = {
        component.name for component in plugins.list_components("degradation") if component.distribution == "rgmkit"
    }
    deepinvs = {name for name in ours if name.startswith("deepinv.")}
    assert ours - deepinvs - {"jpeg"} == {spec.partition(":")[0] for spec in EXPORTED}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("spec", EXPORTED)
def test_deepinvs_own_tests_pass(exported, spec, test):
    function = getattr(exported, test)
    given = {"name": spec, "device": "cpu", "rng": seeded(0), "verbose": False, "implicit_backward_solver": True}
    function(**{name: given[name] for name in function.__code__.co_varnames[: function.__code__.co_argcount]})
