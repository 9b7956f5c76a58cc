"""What every degradation promises: the conformance checks, closed forms against brute force, precision, severities."""

from __future__ import annotations

import pytest
import torch
from analytic import matrix
from pictures import COLOUR, normal

import rgmkit
from rgmkit.cli.app import main
from rgmkit.core.degradation import Degradation
from rgmkit.errors import ConfigError
from rgmkit.images import read, write
from rgmkit.testing import checks

psnr = rgmkit.metric("psnr")
SPECS = [
    "gaussian-noise:noise=0.2",
    "blur:std=1.3,noise=0.1",
    "blur:std=0",
    "blur:kernel=motion,length=5,angle=30",
    "blur:std=9",  # wider than the image: wraps
    "blur:boundary=reflect,std=1",
    "blur:boundary=reflect,std=9",
    "blur:boundary=reflect,kernel=motion,length=5,angle=30",
    "blur:boundary=mirror,std=1",
    "blur:boundary=valid,std=0.7,noise=0.02",
    "motion-blur:size=5,seed=3,boundary=valid",
    "blur:boundary=replicate,kernel=motion,length=6,angle=70,noise=0.01",
    "motion-blur:size=5,seed=3,noise=0.1",
    "motion-blur:size=4,shake=3,boundary=reflect",
    "compose:of=['blur:std=1', 'downsample:factor=2'],noise=0.1",
    "compose:of=['downsample:factor=3', 'inpaint:keep=0.6', 'grayscale:weights=[0.4, 0.6]']",
    "inpaint:noise=0.1",
    "inpaint:keep=0.4,seed=4",
    "inpaint:box=[2, 5, 3, 9]",
    "grayscale:weights=[0.3, 0.9],noise=0.1",
    "grayscale:weights=[1, -1]",
    "downsample:factor=3,noise=0.1",
    "downsample:factor=1,filter=gaussian",
    "downsample:factor=2,filter=gaussian",
    "downsample:factor=3,filter=bicubic",
    "downsample:factor=4,filter=bicubic,noise=0.1",
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("check", checks("degradation"))
def test_conforms(check, spec):
    check(rgmkit.degradation(spec), (2, 12, 24))


@pytest.mark.parametrize(
    "spec",
    [
        "blur:std=1.3,noise=0.1,boundary=circular",
        "blur:std=1.3,noise=0.1,boundary=reflect",
        "blur:kernel=motion,length=4,angle=110",
    ],
)
@pytest.mark.parametrize("check", checks("degradation"))
def test_conforms_with_odd_sides(check, spec):
    check(rgmkit.degradation(spec), (1, 9, 7))


@pytest.mark.parametrize(
    "spec",
    ["downsample:factor=2", "downsample:factor=2,filter=bicubic", "grayscale:weights=[2, 3]"],
)
@pytest.mark.parametrize("check", checks("degradation"))
def test_blends_conform(check, spec):
    check(Degradation.at(rgmkit.degradation(spec), 0.6), (2, 6, 8))


@pytest.mark.parametrize(
    "spec",
    [
        "blur:std=1.2,boundary=circular",
        "blur:std=1.2,boundary=reflect",
        "motion-blur:size=5,boundary=circular",
        *SPECS[-10:],
    ],
)
def test_closed_prox_is_that_of_conjugate_gradients(spec, monkeypatch):
    monkeypatch.setattr("rgmkit.core.degradation.RTOL", 1e-13)
    degradation = rgmkit.degradation(spec)
    z = normal(3, 2, 12, 24)
    y = degradation.A(z).flip(0) + 0.3
    gamma = torch.tensor([0.3, 20.0, 4.0])
    expected = Degradation.prox(degradation, z, y, gamma)
    assert (degradation.prox(z, y, gamma) - expected).norm() < 1e-10 * expected.norm()


@pytest.mark.parametrize(
    "spec",
    [
        "blur:std=0.8,boundary=circular",
        "blur:std=0.8,boundary=reflect",
        "motion-blur:size=3,boundary=circular",
        "inpaint:keep=0.3",
        *SPECS[-5:],
    ],
)
def test_pinv_is_that_of_the_matrix(spec):
    degradation = rgmkit.degradation(spec)
    y = degradation.A(normal(3, 1, 12, 12).flip(0))
    expected = torch.linalg.pinv(matrix(degradation, 1, 12, 12), rtol=1e-8) @ y.flatten(1).T
    assert (degradation.pinv(y).flatten(1).T - expected).norm() < 1e-6 * expected.norm()


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(spec, dtype):
    degradation = rgmkit.degradation(spec)
    x = normal(2, 2, 12, 24).sigmoid()
    y = degradation.A(x)
    for name, arguments in {"A": (x,), "adjoint": (y,), "prox": (x, y, 2.0), "embed": (y,)}.items():
        wide = getattr(degradation, name)(*arguments)
        narrow = [a.to(dtype) if isinstance(a, torch.Tensor) else a for a in arguments]
        found = getattr(degradation, name)(*narrow)
        assert found.dtype == dtype
        assert (found.double() - wide).norm() < 0.02 * wide.norm(), name


def test_inference_mode_leaves_nothing_behind():
    blur, down = rgmkit.degradation("blur", std=1.234), rgmkit.degradation("downsample", factor=2, filter="bicubic")
    for degradation in (blur, down):
        with torch.inference_mode():
            degradation.A(torch.rand(1, 1, 14, 18))
        x = torch.rand(1, 1, 14, 18, requires_grad=True)
        degradation.A(x).sum().backward()
        assert x.grad is not None


def test_severities_are_of_the_family():
    blur = rgmkit.degradation("blur", std=2, noise=0.1, boundary="reflect").at(0.5)
    same = rgmkit.degradation("blur", std=1, noise=0.05, boundary="reflect")
    x = normal(1, 1, 20, 22)
    assert torch.equal(blur.A(x), same.A(x))
    assert blur.noise == same.noise
    motion = rgmkit.degradation("blur", kernel="motion", length=8, angle=20).at(0.25)
    assert torch.equal(motion.A(x), rgmkit.degradation("blur", kernel="motion", length=2, angle=20).A(x))
    down = rgmkit.degradation("downsample", factor=2)
    assert torch.allclose(down.at(0.5).A(x), (x + down.embed(down.A(x))) / 2)
    assert torch.allclose(down.at(0.5).at(0.5).A(x), down.at(0.25).A(x))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("blur:kernel=motion,std=2", "std is an option of kernel=gaussian, and kernel is motion"),
        ("blur:angle=30", "angle is an option of kernel=motion, and kernel is gaussian"),
        ("blur:std=-1", "std is -1"),
        ("blur:kernel=motion,length=1e9", "length is 1000000000"),
        ("blur:boundary=zero", "'circular'"),
        ("downsample:factor=0", "factor is 0"),
        ("downsample:factor=1.5", "factor"),
        ("downsample:filter=nearest", "'bicubic'"),
        ("gaussian-noise:noise=-0.1", "noise is -0.1"),
        ("inpaint:keep=0.5,box=[3, 3]", "keep and box are given"),
        ("inpaint:seed=3", "seed is 3, and nothing is random: give keep"),
        ("inpaint:keep=0", "keep is 0"),
        ("inpaint:keep=0.5,grow=2", "grow 2: they change a mask from an image"),
        ("inpaint:mask=mask.png,grow=-1", "grow is -1"),
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


@pytest.mark.parametrize("spec", ["inpaint:keep=0.5,noise=0.05", "inpaint:mask=mask.png", "motion-blur:size=7,seed=3"])
@pytest.mark.slow
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
