"""Faster ways to the same numbers: filters, modulation, one pass for two, half precision, compilation."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from rgmkit_gan.networks.ncsnpp.discriminator import SmallDiscriminator
from rgmkit_gan.networks.ncsnpp.modulation import EPS, modulate, normalise_groups
from rgmkit_gan.networks.ncsnpp.resampling import FIR
from rgmkit_gan.networks.pixel_norm import normalise_pixels
from rgmkit_gan.objectives import gradient_penalty, judge, penalise_both
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import conv2d, conv_transpose2d, group_norm, silu

import rgmkit
from rgmkit import models
from rgmkit.config import build
from rgmkit.core.objective import Pair
from rgmkit.core.random import seeded
from rgmkit.solvers.sampling import choose_batch_size, split_stack

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINY = {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": [8], "latent": 3, "style": 16, "style_layers": 1}
CASES = {
    "ncsnpp": {"use": "ncsnpp", **TINY},
    "unet": {"use": "unet", "width": 16, "blocks": 1, "latent": 3},
}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def near(x: torch.Tensor, exact: torch.Tensor, tolerance: float) -> None:
    assert (x - exact).norm() <= tolerance * exact.norm()


@pytest.mark.parametrize("side", [(6, 8), (5, 7), (2, 3)])
def test_filters_are_each_others_derivative(side):
    """For odd sides, too, and twice: a penalty goes back through the derivative."""
    fir, h = FIR().double(), draw(1, 2, *side).requires_grad_()
    for resample in (fir.up, fir.down, fir.before_stride):
        assert gradcheck(resample, h) and gradgradcheck(resample, h)


def kernel(gain: float) -> torch.Tensor:
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    return gain * torch.outer(row, row).expand(4, 1, 4, 4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
def test_filters_in_every_precision(dtype, tolerance, layout):
    """Values and derivatives, against the transposed convolution in float64."""
    fir = FIR()
    for resample, plain in (
        (fir.up, lambda h: conv_transpose2d(h, kernel(4), stride=2, padding=1, groups=4)),
        (fir.down, lambda h: conv2d(h, kernel(1), stride=2, padding=1, groups=4)),
    ):
        h = draw(2, 4, 7, 10).to(dtype).contiguous(memory_format=layout).requires_grad_()
        exact = h.detach().double().requires_grad_()
        made, wanted = resample(h), plain(exact)
        assert made.dtype == dtype and made.is_contiguous(memory_format=layout)
        near(made.double(), wanted, tolerance)
        g = draw(*wanted.shape, seed=1).to(dtype)
        (slope,), (right,) = torch.autograd.grad(made, h, g), torch.autograd.grad(wanted, exact, g.double())
        near(slope.double(), right, tolerance)


def plainly(h, gamma, beta):
    return silu(gamma[..., None, None] * group_norm(h, 2, eps=EPS) + beta[..., None, None])


def test_modulation_is_its_definition():
    h, gamma, beta = draw(3, 8, 4, 5), 1 + draw(3, 8, seed=1), draw(3, 8, seed=2)
    torch.testing.assert_close(modulate(h, 2, gamma, beta), plainly(h, gamma, beta))
    parts = [part.requires_grad_() for part in (h, gamma, beta)]
    assert gradcheck(lambda *p: modulate(p[0], 2, *p[1:]), parts)
    torch.testing.assert_close(
        normalise_groups(h, 2, gamma[0], beta[0]), group_norm(h, 2, gamma[0], beta[0], EPS), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_modulation_in_every_precision(dtype, tolerance, layout):
    """A group's mean is far from zero: nothing cancels."""
    parts = [(5 + draw(3, 8, 6, 6)).to(dtype), (1 + draw(3, 8, seed=1)).to(dtype), draw(3, 8, seed=2).to(dtype)]
    parts[0] = parts[0].contiguous(memory_format=layout)
    exact = [part.double().requires_grad_() for part in parts]
    parts = [part.requires_grad_() for part in parts]
    made, wanted, g = modulate(parts[0], 2, *parts[1:]), plainly(*exact), draw(3, 8, 6, 6, seed=3).to(dtype)
    near(made.double(), wanted, 3 * tolerance)
    slopes, rights = torch.autograd.grad(made, parts, g), torch.autograd.grad(wanted, exact, g.double())
    for got, right in zip(slopes, rights, strict=True):
        assert got.dtype == dtype
        near(got.double(), right, 3 * tolerance)


def test_pixel_norm_is_its_definition():
    h, gamma, beta = draw(3, 8, 4, 5), 1 + draw(3, 8, seed=1), draw(3, 8, seed=2)
    norm = h * (h.square().mean(1, keepdim=True) + 1e-4).rsqrt()
    torch.testing.assert_close(normalise_pixels(h), silu(norm))
    wanted = silu(gamma[..., None, None] * norm + beta[..., None, None])
    torch.testing.assert_close(normalise_pixels(h, gamma, beta), wanted)
    half = normalise_pixels(*(part.bfloat16() for part in (h, gamma, beta)))
    assert half.dtype == torch.bfloat16
    near(half.double(), wanted, 1e-2)
    parts = [part.requires_grad_() for part in (h, gamma, beta)]
    assert gradcheck(normalise_pixels, parts) and gradcheck(normalise_pixels, h)


@pytest.mark.parametrize("batch", [4, 6, 8, 12])
def test_one_pass_compares_no_real_image_with_a_fake_one(batch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic = SmallDiscriminator(image_shape=(1, 16, 16), width=4, embedding=8).double()
    t, weight = torch.arange(batch) % 4, draw(batch, seed=2).square()
    pair = Pair(draw(batch, 1, 16, 16), 3 * draw(batch, 1, 16, 16, seed=1), t, weight, weight)
    for judged, images in zip(judge(critic, pair), (pair.real, pair.fake), strict=True):
        torch.testing.assert_close(judged, critic(images, t))
    apart = gradient_penalty(critic, pair.real, t, weight) + gradient_penalty(critic, pair.fake, t, weight)
    torch.testing.assert_close(penalise_both(critic, pair, weight), apart)


@pytest.mark.parametrize("batch, calls", [(8, 1), (6, 2)])
def test_passes_of_a_critic_that_compares(batch, calls):
    seen = []

    class Critic:
        compares_batch, group = True, 4

        def __call__(self, x, level):
            seen.append(len(x))
            return x.flatten(1).sum(1) + level

    pair = Pair(draw(batch, 2), draw(batch, 2, seed=1), torch.arange(batch), draw(batch), draw(batch))
    real, fake = judge(Critic(), pair)
    assert len(seen) == calls and sum(seen) == 2 * batch
    torch.testing.assert_close(real, pair.real.sum(1) + pair.level)
    torch.testing.assert_close(fake, pair.fake.sum(1) + pair.level)


@pytest.fixture(params=list(CASES))
def folder(request, tmp_path):
    """A model folder of a network in which every layer counts, the ones that start near zero too."""
    process = rgmkit.process("gaussian", levels=4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("network", CASES[request.param], process=process, image_shape=(3, 16, 16))
    generator = seeded(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.3 / max(1, weight[0].numel()) ** 0.5 * torch.randn(weight.shape, generator=generator)
    prior = build("prior", "gan", process=process, network=network, image_shape=(3, 16, 16))
    models.save(tmp_path / "model", prior, {"network": CASES[request.param], "process": "gaussian:levels=4"}, {})
    return tmp_path / "model"


@torch.no_grad()
def test_half_precision_is_near_float32_and_stays_inside(folder):
    whole, half = rgmkit.load(folder), rgmkit.load(folder, dtype="bf16")
    assert half.latent == 3 and half.locality == whole.locality
    y, z = draw(2, 3, 13, 18).float(), draw(2, 3).float()
    for level in range(1, 5):
        exact, x = (prior.restore(y, level, z=z) for prior in (whole, half))
        assert x.dtype == torch.float32 and not x.equal(x.bfloat16().float()) and not x.equal(exact)
        near(2 * x - 1, 2 * exact - 1, 1e-2)
    assert half.process.a_by_level.dtype == torch.float32
    assert half.degrade(y, 2, generator=seeded(0)).equal(whole.degrade(y, 2, generator=seeded(0)))


def test_half_precision_restores_and_generates(folder):
    whole, half = rgmkit.load(folder), rgmkit.load(folder, dtype=torch.bfloat16)
    made = rgmkit.generate(half, 3, seed=1)
    assert made.dtype == torch.float32 and made.equal(rgmkit.generate(half, 3, seed=1))
    near(made, rgmkit.generate(whole, 3, seed=1), 3e-2)
    y = torch.rand(2, 3, 16, 16, generator=seeded(0))
    for solver in ("pnp-drs:iterations=2", "cascade"):
        x, exact = (rgmkit.restore(y, "blur:std=1,noise=0.1", prior, solver=solver).x for prior in (half, whole))
        assert x.dtype == y.dtype
        near(x, exact, 2e-2)


def test_only_weights_that_multiply_are_halved(folder):
    half = rgmkit.load(folder, dtype="bf16").network
    halved = [layer for layer in half.modules() if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))]
    assert halved and all(layer.weight.dtype == torch.bfloat16 for layer in halved)
    assert any(weight.dtype == torch.float32 for weight in (*half.parameters(), *half.buffers()))
    assert all(w.dtype == torch.float32 for w in rgmkit.load(folder).network.parameters())
    assert copy.deepcopy(half).latent == 3


@pytest.mark.parametrize("dtype", ["bfloat", torch.float16, "float64"])
def test_unknown_precisions(dtype):
    with pytest.raises(rgmkit.ConfigError, match=r"give 'float32' or 'bf16'"):
        rgmkit.load("digits", dtype=dtype)


@pytest.mark.slow
def test_compiled_is_what_it_was(monkeypatch):
    """With a backend that runs what was traced as it is: which code is made of it is not rgmkit's."""
    plain = rgmkit.load("digits")
    compile = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile(self, backend="eager"))
    fast = rgmkit.load("digits", compile=True)
    torch.testing.assert_close(rgmkit.generate(fast, 2), rgmkit.generate(plain, 2))
    assert fast.network.inner.state_dict().keys() == plain.network.state_dict().keys()


@pytest.mark.slow
def test_what_cannot_be_compiled(monkeypatch, tmp_path):
    def broken(graph, inputs):
        raise OSError("there is no compiler")

    compile = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile(self, backend=broken))
    with pytest.raises(rgmkit.IncompatibleError, match=r"there is no compiler.*leave out compile"):
        rgmkit.generate(rgmkit.load("digits", compile=True), 1)
    config = {"data": "digits", "network": CASES["unet"], "training": {"steps": 1, "batch": 4, "compile": True}}
    with pytest.raises(rgmkit.IncompatibleError, match="leave out compile"):
        rgmkit.train(config, out=tmp_path / "run", progress=False)


def test_batches_that_a_cache_holds():
    assert choose_batch_size((3, 32, 32)) == 32 < choose_batch_size((3, 32, 32), torch.device("cuda"))
    assert choose_batch_size((1, 4, 4)) == 256 and choose_batch_size((3, 512, 512)) == 1


def test_groups_of_large_images_are_split():
    identity = rgmkit.degradation("gaussian-noise")
    groups, shape = [([3, 4, 5, 6, 7], identity), ([9], identity)], (1, 1024, 2048)
    rows = {
        device: [part for part, _ in split_stack(groups, shape, torch.device(device))] for device in ("cpu", "cuda")
    }
    assert rows == {"cpu": [[3, 4], [5, 6], [7], [9]], "cuda": [[3, 4, 5, 6, 7], [9]]}


@pytest.mark.parametrize("name", ["train_step", "generate", "restore"])
@pytest.mark.slow
def test_benchmarks_run(name, monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    for module in ("timing", "generate", name):
        sys.modules.pop(module, None)
    network = "ncsnpp:width=8,multipliers=[1,2],blocks=1,attention=[8],latent=3,style=16"
    options = ["--network", network, "--size", "16", "--batch", "4", "--times", "1", "--threads", "1"]
    if name == "train_step":
        options += ["--critic", "ncsnpp-discriminator:width=4,embedding=8"]
    monkeypatch.setattr(sys, "argv", [name, *options, "--json", str(tmp_path / "out.json")])
    threads = torch.get_num_threads()
    __import__(name).main()
    torch.set_num_threads(threads)
    assert "ratio" in capsys.readouterr().out and (tmp_path / "out.json").stat().st_size > 500
