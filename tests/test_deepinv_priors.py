"""Hand-crafted priors and denoisers of deepinv by name, their weights and options."""

from __future__ import annotations

import importlib
import unittest

import deepinv
import pytest
import torch
from deepinv.utils import DownloadError
from pictures import uniform
from rgmkit_deepinv import networks, pixelwise, requirements, total_variation, wavelet
from rgmkit_deepinv.objects import from_deepinv
from safetensors.torch import save_file
from skimage.data import camera
from torch.nn.functional import avg_pool2d

import rgmkit
from rgmkit.core.random import seeded
from rgmkit.core.solver import Problem
from rgmkit.errors import CheckpointError, ConfigError, IncompatibleError
from rgmkit.testing import checks
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")
SHAPE = (2, 8, 12)
PRIORS = {
    "tv": lambda: total_variation.TV(weight=3),
    "tv-alone": lambda: total_variation.TV(steps=150),
    "tikhonov": lambda: pixelwise.Tikhonov(weight=2),
    "haar": lambda: wavelet.Wavelet(weight=2, wavelet="haar", levels=2),
    "l1-of-deepinv": lambda: from_deepinv(deepinv.optim.L1Prior(), weight=2),
    "haar-of-deepinv": lambda: from_deepinv(deepinv.optim.WaveletPrior(level=2, wv="haar")),
}


@pytest.fixture(scope="module")
def photo():
    whole = torch.from_numpy(camera() / 255).float()[None, None]
    return avg_pool2d(whole, 8)


def restored(photo, spec, prior, **options):
    degradation = rgmkit.degradation(spec) if isinstance(spec, str) else spec
    y = degradation(photo, generator=seeded(1))
    before, solution = degradation.embed(y), rgmkit.restore(y, degradation, prior, **options)
    return float(psnr(before, photo).mean()), float(psnr(solution.x, photo).mean())


@pytest.mark.parametrize("check", checks("prior"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", PRIORS)
def test_priors_conform(name, check):
    check(PRIORS[name](), SHAPE)


@pytest.mark.parametrize("check", checks("prior"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("spec", ["deepinv.TGV:weight=3,steps=100", "deepinv.TVL1:weight=3", "deepinv.L1:weight=2"])
def test_priors_by_name_conform(spec, check):
    check(rgmkit.prior(spec), (2, 8, 12))


def test_prox_of_tv_is_accurate_and_forgets_what_came_before():
    x, gamma = uniform(2, 2, 24, 20, dtype=torch.float64), torch.tensor([0.02, 0.2], dtype=torch.float64)
    tv = total_variation.TV(weight=2)
    first = tv.prox(x, gamma)
    exact = total_variation.TV(weight=2, steps=2000).prox(x, gamma)
    error = (first - exact).square().flatten(1).mean(1).sqrt()
    assert bool((error < 0.01 * 2 * gamma).all()), error
    tv.prox(1 - x, 0.1)
    assert torch.equal(first, tv.prox(x, gamma))


@pytest.mark.parametrize("size", [(16, 16), (15, 17), (33, 20), (3, 5), (1, 1)])
def test_wavelets_take_any_size(size):
    x = uniform(2, 1, *size, dtype=torch.float64)
    prior = rgmkit.prior("wavelet", weight=1)
    torch.testing.assert_close(prior.prox(x, 0), x)
    assert bool((prior.value(prior.prox(x, 0.1)) <= prior.value(x) + 1e-9).all())


def test_wavelets_without_ptwt_say_what_to_install(monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the package ptwt.*pip install 'rgmkit\[wavelet\]'"):
        rgmkit.prior("wavelet")


@pytest.mark.parametrize("prior", ["tv", "wavelet"])
@pytest.mark.parametrize("noise", [0.02, 0.2])
@pytest.mark.parametrize("operator", ["gaussian-noise:", "blur:std=1,"])
def test_the_default_weight_is_near_the_best(photo, prior, noise, operator):
    spec = f"{operator}noise={noise}"
    degradation = rgmkit.degradation(spec)
    problem = Problem.from_measurement(photo, degradation, rgmkit.prior(prior))
    weight = problem.prior.with_default_weight(problem).weight
    after = {f: restored(photo, spec, f"{prior}:weight={weight * f}", solver="admm")[1] for f in (0.4, 1, 2.5)}
    assert after[1] == restored(photo, spec, prior, solver="admm")[1]
    assert after[1] > max(after.values()) - 0.3, after


def test_a_weight_of_zero_and_no_noise_leave_the_image(photo):
    assert restored(photo, "gaussian-noise:noise=0", "tv:weight=0")[1] > 100


def test_tgv_is_the_prox_of_its_minimum():
    slope = torch.linspace(0, 1, 16, dtype=torch.float64).expand(1, 1, 16, 16)
    tgv = total_variation.TGV(weight=1, steps=300)
    assert (tgv.prox(slope, 0.02) - slope).abs().max() < (
        rgmkit.prior("tv", weight=1).prox(slope, 0.02) - slope
    ).abs().max()
    flat = torch.full_like(slope, 0.3)
    torch.testing.assert_close(tgv.prox(flat, 0.1), flat)


@pytest.fixture(scope="module")
def digits():
    return Digits(split="held-out").images[:24]


def quality(x, truth):
    return float(psnr(x.detach().clamp(0, 1).float(), truth).mean())


@pytest.mark.parametrize("name", ["deepinv.TGV", "deepinv.TVL1", "deepinv.BM3D", "deepinv.MedianFilter"])
def test_a_prior_by_name_restores(digits, name):
    degradation = rgmkit.degradation("gaussian-noise:noise=0.2")
    y = degradation(digits[:1], generator=seeded(1))
    x = rgmkit.restore(y, degradation, name, solver="pgd:iterations=2").x
    assert quality(x, digits[:1]) > quality(y, digits[:1]) + 1


NETWORKS = {
    "deepinv.DRUNet": (
        "widths=[4,4,4,4],blocks=1",
        lambda: deepinv.models.DRUNet(1, 1, (4, 4, 4, 4), 1, pretrained=None),
    ),
    "deepinv.GSDRUNet": ("widths=[4,4,4,4],blocks=1", lambda: deepinv.models.GSDRUNet(1, 1, 1, 1, (4, 4, 4, 4))),
    "deepinv.DnCNN": ("depth=3,width=4", lambda: deepinv.models.DnCNN(1, 1, 3, nf=4, pretrained=None)),
    "deepinv.FFDNet": ("depth=3,width=4", lambda: deepinv.models.FFDNet(3, 4, 1, pretrained=None)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_come_from_a_file(name, tmp_path):
    options, make = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = make().eval()
    state, x, state_of_all = network.state_dict(), uniform(2, 1, 33, 35), torch.random.get_rng_state()
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "w.safetensors")
    torch.save({"state_dict": state}, tmp_path / "w.pth.tar")
    with torch.no_grad():
        found = [
            rgmkit.prior(f"{name}:channels=1,{options},weights={tmp_path / w}") for w in ("w.safetensors", "w.pth.tar")
        ]
        answers = [prior.prox(x, torch.tensor([0.01, 0.04])) for prior in found]
        even = uniform(2, 1, 32, 32)
        torch.testing.assert_close(found[0].prox(even, 0.01), network(even, torch.tensor([0.1, 0.1])))
    assert torch.equal(*answers) and answers[0].shape == x.shape
    assert torch.equal(state_of_all, torch.random.get_rng_state())
    with pytest.raises(IncompatibleError, match=f"{name} has weights for 1 channels and the image has the shape"):
        rgmkit.restore(uniform(1, 3, 32, 32), "gaussian-noise:noise=0.1", found[0])


def test_wrong_weights_are_named(tmp_path, monkeypatch):
    spec, path = "deepinv.DnCNN:channels=1,depth=3,width=4,weights={}", tmp_path / "w.pth"
    with pytest.raises(CheckpointError, match=r"w.pth of deepinv.DnCNN cannot be read: No such file"):
        rgmkit.prior(spec.format(path))
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        rgmkit.prior(spec.format(path))
    torch.save({"state_dict": unittest.TestCase()}, path)
    with pytest.raises(CheckpointError, match="a file of tensors alone"):  # pickled code is never run
        rgmkit.prior(spec.format(path))
    torch.save(deepinv.models.DnCNN(1, 1, depth=3, nf=5, pretrained=None).state_dict(), path)
    with pytest.raises(CheckpointError, match=r"in_conv.weight has the shape \(5, 1, 3, 3\), not \(4, 1, 3, 3\)"):
        rgmkit.prior(spec.format(path))
    torch.save({"weight": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="it lacks conv_list"):
        rgmkit.prior(spec.format(path))

    def no_network(*arguments, **options):
        raise DownloadError("no route to host")

    monkeypatch.setattr(importlib.import_module("deepinv.models.dncnn"), "load_state_dict_from_url", no_network)
    with pytest.raises(CheckpointError, match=r"cannot be downloaded: no route to host.*give weights=FILE"):
        networks.DnCNN(weights="download")
    with pytest.raises(ConfigError, match="channels is 2"):
        networks.DnCNN(weights="download", channels=2)
