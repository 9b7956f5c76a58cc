"""Hand-crafted priors and denoisers of deepinv by name, their weights and options."""

from __future__ import annotations

import importlib
import math
import sys
import unittest

import deepinv
import pytest
import torch
from analytic import Diagonal
from deepinv.utils import DownloadError
from pictures import COLOUR, normal, uniform
from rgmkit_deepinv import networks, pixelwise, tikhonov, total_variation, wavelet
from rgmkit_deepinv.objects import from_deepinv
from safetensors.torch import save_file
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
    "tv-uncoupled": lambda: total_variation.TV(weight=3, coupled=False),
    "tikhonov": lambda: tikhonov.Tikhonov(weight=2),
    "tikhonov-of-pixels": lambda: pixelwise.Tikhonov(weight=2),
    "haar": lambda: wavelet.Wavelet(weight=2, wavelet="haar", levels=2),
    "l1-of-deepinv": lambda: from_deepinv(deepinv.optim.L1Prior(), weight=2),
    "haar-of-deepinv": lambda: from_deepinv(deepinv.optim.WaveletPrior(level=2, wv="haar")),
}


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
@pytest.mark.parametrize("spec", ["tgv:weight=3,steps=100", "deepinv.TVL1:weight=3", "deepinv.L1:weight=2"])
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


def test_prox_of_tgv_is_accurate():
    x, gamma = uniform(2, 1, 12, 10, dtype=torch.float64), torch.tensor([0.02, 0.2], dtype=torch.float64)
    found, exact = (total_variation.TGV(weight=2, steps=steps).prox(x, gamma) for steps in (300, 700))
    error = (found - exact).square().flatten(1).mean(1).sqrt()
    assert bool((error < 0.02 * 2 * gamma).all()), error


def difference_matrix(height, width):
    """Return D for images of one channel, in float64."""
    basis = torch.eye(height * width, dtype=torch.float64).reshape(-1, height, width)
    return torch.cat([basis.diff(dim=1).flatten(1), basis.diff(dim=2).flatten(1)], 1).T


@pytest.mark.parametrize("size", [(5, 4), (1, 6)])
def test_tikhonov_is_the_square_of_the_gradient(size):
    x, prior = uniform(2, 3, *size, dtype=torch.float64), rgmkit.prior("tikhonov", weight=3)
    D, flat = difference_matrix(*size), x.flatten(2)
    torch.testing.assert_close(prior.value(x), 1.5 * (flat @ D.T).square().sum((1, 2)))
    torch.testing.assert_close(prior.grad(x).flatten(2), 3 * flat @ D.T @ D)
    gamma = torch.tensor([0.2, 7.0], dtype=torch.float64)
    exact = [torch.linalg.solve(torch.eye(len(D.T)) + 3 * g * D.T @ D, f.T).T for f, g in zip(flat, gamma, strict=True)]
    torch.testing.assert_close(prior.prox(x, gamma).flatten(2), torch.stack(exact))


def test_tikhonov_leaves_the_mean_alone(photo):
    y = 0.3 * photo
    x = rgmkit.restore(y, "gaussian-noise:noise=0.3", "tikhonov:weight=1e4").x
    assert float(x.std()) < 0.3 * float(y.std())
    torch.testing.assert_close(x.mean(), y.mean())


def test_missing_pixels_reach_the_minimum_of_tikhonov():
    degradation, prior = rgmkit.degradation("inpaint:keep=0.2,noise=0.01"), rgmkit.prior("tikhonov:weight=100")
    y = degradation(uniform(1, 1, 12, 10), generator=seeded(1)).double()
    mask, D = degradation.A(torch.ones_like(y)).flatten(), difference_matrix(12, 10)
    exact = torch.linalg.solve(mask.diag() / 1e-4 + 100 * D.T @ D, mask * y.flatten() / 1e-4)
    x = rgmkit.restore(y, degradation, prior).x
    torch.testing.assert_close(x.flatten(), exact, atol=5e-3, rtol=0)


def test_the_center_of_tikhonov_is_read_from_old_files():
    with pytest.warns(DeprecationWarning, match=r"use the prior deepinv\.Tikhonov"):
        prior = rgmkit.prior("tikhonov:weight=2,center=0.4")
    assert torch.equal(prior.prox(torch.full((1, 1, 2, 2), 0.7), 1.0), torch.full((1, 1, 2, 2), 0.7))


def rotation(size):
    return torch.linalg.qr(normal(size, size)).Q


@pytest.mark.parametrize("name", ["tv", "tgv"])
def test_coupled_variations_turn_with_the_colours(name):
    """An orthogonal change of the colour axes commutes with the prox, only if all channels have one norm."""
    x, Q, prior = uniform(2, 3, 12, 10, dtype=torch.float64), rotation(3), rgmkit.prior(name, weight=1, steps=50)

    def turn(image):
        return torch.einsum("cd,bdhw->bchw", Q, image)

    torch.testing.assert_close(prior.prox(turn(x), 0.2), turn(prior.prox(x, 0.2)))
    assert not torch.allclose(rgmkit.prior("tv:coupled=false", weight=1).prox(turn(x), 0.2), turn(prior.prox(x, 0.2)))
    if "value" in prior.provides:
        torch.testing.assert_close(prior.value(turn(x)), prior.value(x))
        grey = x[:, :1].expand(x.shape)
        torch.testing.assert_close(prior.value(grey), 3**0.5 * prior.value(x[:, :1]))


def test_uncoupled_total_variation_treats_each_channel_on_its_own():
    x, alone = uniform(2, 3, 12, 10, dtype=torch.float64), rgmkit.prior("tv:coupled=false,weight=2,steps=50")
    gamma = torch.tensor([0.05, 0.2], dtype=torch.float64)
    coupled = rgmkit.prior("tv:weight=2,steps=50")
    channels = [x[:, c : c + 1] for c in range(3)]
    torch.testing.assert_close(alone.prox(x, gamma), torch.cat([coupled.prox(c, gamma) for c in channels], 1))
    torch.testing.assert_close(alone.value(x), sum(coupled.value(c) for c in channels))
    assert not from_deepinv(deepinv.optim.TVPrior()).coupled


def test_coupling_helps_colour_photographs():
    x = avg_pool2d(COLOUR.float(), 4)
    coupled, alone = (restored(x, "gaussian-noise:noise=0.1", prior)[1] for prior in ("tv", "tv:coupled=false"))
    assert coupled > alone + 0.5


def test_a_weight_of_zero_leaves_flat_images():
    flat = torch.full((1, 3, 8, 8), 0.5)
    for name in ("tv", "tgv", "tikhonov"):
        torch.testing.assert_close(rgmkit.prior(name, weight=0).prox(flat, 0.1), flat)


@pytest.mark.parametrize("size", [(16, 16), (15, 17), (33, 20), (3, 5), (1, 1)])
def test_wavelets_take_any_size(size):
    x = uniform(2, 1, *size, dtype=torch.float64)
    prior = rgmkit.prior("wavelet", weight=1)
    torch.testing.assert_close(prior.prox(x, 0), x)
    assert bool((prior.value(prior.prox(x, 0.1)) <= prior.value(x) + 1e-9).all())


def test_wavelets_without_ptwt_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ptwt", None)
    with pytest.raises(ConfigError, match=r"needs the package ptwt.*pip install 'rgmkit\[wavelet\]'"):
        rgmkit.prior("wavelet")


@pytest.mark.parametrize("prior", ["tv", "wavelet", "tikhonov"])
@pytest.mark.parametrize("noise", [0.01, 0.3])
@pytest.mark.parametrize("operator", ["gaussian-noise:", "blur:std=1,"])
def test_the_default_weight_is_near_the_best(photo, prior, noise, operator):
    spec = f"{operator}noise={noise}"
    degradation = rgmkit.degradation(spec)
    problem = Problem.from_measurement(photo, degradation, rgmkit.prior(prior))
    weight = problem.prior.with_default_weight(problem).weight
    after = {f: restored(photo, spec, f"{prior}:weight={weight * f}", solver="admm")[1] for f in (0.4, 1, 2.5)}
    assert after[1] == restored(photo, spec, prior, solver="admm")[1]
    assert after[1] > max(after.values()) - 0.3, after


FITTED = {  # strength and exponent
    "tv": (0.5, 0.25), "wavelet": (0.9, 0.5), "tikhonov": (2.2, 0.7), "tgv": (0.5, 0.25),
    "deepinv.TVL1": (0.4, 0.25), "deepinv.L1": (0.5, 0.25), "deepinv.Tikhonov": (1.8, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTED)
def test_the_default_weight_is_the_one_that_was_fitted(name):
    strength, exponent = FITTED[name]
    d, noise = 30 * torch.linspace(0, 1, 24).expand(1, 16, 24), 0.2
    problem = Problem.from_measurement(torch.zeros(1, 1, 16, 24), Diagonal(d, noise=30 * noise), rgmkit.prior(name))
    gain = problem.scale.mean_gain / problem.scale.largest_gain
    noise *= 30 / problem.scale.largest_gain**0.5
    expected = strength * gain**0.25 / noise * (noise / 0.05) ** exponent
    assert problem.prior.with_default_weight(problem).weight == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["tv", "tgv"])
def test_the_default_weight_grows_with_the_number_of_colours(name):
    for noise, power in ((0.002, 0), (0.05, 0.3), (0.1, 0.3 + 0.11 * math.log(2)), (0.5, 0.5)):
        weights = []
        for prior in (rgmkit.prior(name), rgmkit.prior("tv:coupled=false")):
            problem = Problem.from_measurement(
                uniform(1, 3, 8, 8), rgmkit.degradation("gaussian-noise", noise=noise), prior
            )
            weights.append(prior.with_default_weight(problem).weight)
        assert weights[0] / weights[1] == pytest.approx(3**power, rel=1e-5)


def test_a_weight_of_zero_and_no_noise_leave_the_image(photo):
    assert restored(photo, "gaussian-noise:noise=0", "tv:weight=0")[1] > 100


@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_the_default_weight_of_colours_is_near_the_best(noise):
    x, spec = avg_pool2d(COLOUR.float(), 4), f"gaussian-noise:noise={noise}"
    problem = Problem.from_measurement(x, rgmkit.degradation(spec), rgmkit.prior("tv"))
    weight = problem.prior.with_default_weight(problem).weight
    after = {f: restored(x, spec, f"tv:weight={weight * f}")[1] for f in (0.4, 1, 2.5)}
    assert after[1] > max(after.values()) - 0.5, after


def test_tgv_keeps_a_noisy_slope_that_tv_turns_into_stairs():
    slope = torch.linspace(0, 1, 48).expand(1, 1, 48, 48).contiguous()
    tgv, tv = (restored(slope, "gaussian-noise:noise=0.1", prior)[1] for prior in ("tgv", "tv"))
    assert tgv > tv + 1


def test_tgv_is_the_prox_of_its_minimum():
    slope = torch.linspace(0, 1, 16, dtype=torch.float64).expand(1, 1, 16, 16)
    tgv = rgmkit.prior("deepinv.TGV:weight=1,steps=300")  # the old name
    assert isinstance(tgv, total_variation.TGV)
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


def test_an_image_that_is_too_small_for_a_denoiser():
    with pytest.raises(
        IncompatibleError, match=r"MedianFilter cannot denoise an image of shape \(3, 1, 1\) .* its size"
    ):
        rgmkit.restore(torch.zeros(1, 3, 1, 1), "gaussian-noise:noise=0.1", "deepinv.MedianFilter", solver="admm")


@pytest.mark.parametrize("name", ["tgv", "deepinv.TVL1", "deepinv.BM3D", "deepinv.MedianFilter"])
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


def test_downloaded_weights_run_no_code(tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"state_dict": Evil()}, tmp_path / "weights.pth")
    link = (tmp_path / "weights.pth").as_uri()
    load = torch.hub.load_state_dict_from_url
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda url, **options: load(link, tmp_path, **options))
    with pytest.raises(CheckpointError, match=r"weights of deepinv\.DnCNN are refused, they hold more"):
        networks.DnCNN(weights="download")
    assert not (tmp_path / "ran").exists()
    for file in tmp_path.glob("*.pth"):  # those of torch.hub, too
        torch.save(deepinv.models.DnCNN(pretrained=None).state_dict(), file)
    assert networks.DnCNN(weights="download").channels == 3
