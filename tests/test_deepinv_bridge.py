"""deepinv's objects as they are, its parts by name, and rgmkit's degradations and models as deepinv objects."""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
import unittest

import deepinv
import pytest
import rgmkit_deepinv
import torch
from deepinv.utils import DownloadError
from rgmkit_deepinv import networks, operators, posterior_sampling, requirements, total_variation
from rgmkit_deepinv.objects import from_deepinv
from rgmkit_deepinv.physics import Physics
from safetensors.torch import save_file

import rgmkit
from rgmkit import plugins
from rgmkit.core.linear import operator_norm
from rgmkit.core.random import seeded
from rgmkit.errors import CheckpointError, ConfigError, DataError, IncompatibleError
from rgmkit.testing import checks
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")

NAMES = [component.name for component in rgmkit_deepinv.rgmkit_components() if component.name.startswith("deepinv.")]


def images(*shape, seed=0):
    return torch.rand(shape, generator=seeded(seed))


@pytest.fixture(scope="module")
def digits():
    return Digits(split="held-out").images[:24]


@pytest.fixture(scope="module")
def model():
    return rgmkit.load("digits")


def quality(x, truth):
    return float(psnr(x.detach().clamp(0, 1).float(), truth).mean())


# ---- deepinv's objects, as they are


def test_an_operator_of_deepinv_is_a_degradation_as_it_is():
    noise = deepinv.physics.GaussianNoise(0.05)
    x = images(2, 1, 16, 16)
    taps = deepinv.physics.blur.gaussian_blur(sigma=(1.0, 1.0))
    for physics in [
        deepinv.physics.Tomography(angles=30, img_width=16, normalize=True, noise_model=noise),
        deepinv.physics.Blur(filter=taps, padding="valid", noise_model=noise),  # tells no shape: its adjoint does
        deepinv.physics.Inpainting(img_size=(1, 16, 16), mask=0.5, noise_model=noise, rng=seeded(1)),
        deepinv.physics.SinglePixelCamera(m=100, img_size=(1, 16, 16), noise_model=noise),
        deepinv.physics.Denoising(noise),
    ]:
        before = copy.deepcopy(vars(physics.clone())), {k: v.clone() for k, v in physics.state_dict().items()}
        y = physics.A(x)
        attributes = dict(vars(physics))
        solution = rgmkit.restore(y, physics, "tv", solver="pgd:iterations=5")
        assert solution.x.shape == x.shape, physics
        assert all(torch.equal(value, before[1][key]) for key, value in physics.state_dict().items())
        assert vars(physics).keys() == before[0].keys() and all(vars(physics)[k] is v for k, v in attributes.items())
        degradation = from_deepinv(physics)
        assert degradation.noise == pytest.approx(0.05)
        pointers = {tensor.data_ptr() for tensor in physics.state_dict().values()}
        assert not pointers & {tensor.data_ptr() for tensor in degradation.state_dict().values()}


def test_the_first_guess_of_an_even_image_is_even():
    taps = torch.ones(1, 1, 5, 5) / 25
    for physics in [
        deepinv.physics.Blur(filter=taps, padding="valid"),  # whose back-projection fades at the border
        deepinv.physics.Downsampling(img_size=(1, 16, 16), filter=None, factor=2),  # leaves three quarters out
        deepinv.physics.Tomography(angles=30, img_width=16, normalize=True),
        deepinv.physics.Inpainting(img_size=(1, 16, 16), mask=0.5, rng=seeded(1)),
    ]:
        degradation, x = from_deepinv(physics), torch.full((1, 1, 16, 16), 0.7)
        torch.testing.assert_close(degradation.embed(degradation.A(x)), x, rtol=0, atol=1e-4)


def test_moving_the_copy_moves_nothing_of_the_users():
    physics = deepinv.physics.Inpainting(img_size=(1, 4, 4), mask=torch.ones(1, 4, 4))
    denoiser = deepinv.models.DnCNN(1, 1, depth=3, nf=4, pretrained=None)
    from_deepinv(physics).to("meta")
    from_deepinv(denoiser).to("meta")
    assert physics.mask.device.type == "cpu" and next(denoiser.parameters()).device.type == "cpu"


def test_what_an_operator_does_not_tell_is_asked_for():
    class Silent(deepinv.physics.LinearPhysics):
        def A(self, x, **options):
            return x.flatten(1)[:, ::2]

        def A_adjoint(self, y, **options):
            raise RuntimeError("no idea")

    y = images(1, 8)
    with pytest.raises(IncompatibleError, match=r"Silent does not tell.*no idea.*image_shape=\(C, H, W\)"):
        rgmkit.restore(y, Silent(), "tv")
    blur = from_deepinv(deepinv.physics.Blur(filter=torch.ones(1, 1, 3, 3) / 9, padding="valid"), noise=0.1)
    for one in (blur, copy.deepcopy(blur)):
        assert torch.equal(one.A(images(1, 1, 8, 8)), blur.A(images(1, 1, 8, 8))) and one.noise == 0.1
        with pytest.raises(DataError, match=r"^Blur: the noise of a measurement"):  # the name that the user knows
            one.estimate_noise(torch.ones(3))
    physics = deepinv.physics.Denoising(deepinv.physics.PoissonNoise(0.1))
    with pytest.raises(ConfigError, match=r"PoissonNoise.*from_deepinv\(physics, noise=…\)"):
        rgmkit.restore(images(1, 1, 4, 4), physics, "tv")


def test_priors_and_denoisers_of_deepinv_are_priors_as_they_are():
    y = images(1, 1, 12, 12)
    for prior in [
        deepinv.optim.TVPrior(n_it_max=10),
        deepinv.optim.L1Prior(),
        deepinv.optim.PnP(deepinv.models.MedianFilter(3)),
        deepinv.models.BilateralFilter(),
        deepinv.models.BM3D(),  # holds a Python module, which cannot be copied
    ]:
        attributes = dict(vars(prior))
        x = rgmkit.restore(y, "gaussian-noise:noise=0.1", prior, solver="pgd:iterations=1").x
        assert x.shape == y.shape and not torch.equal(x, y)
        assert all(vars(prior)[key] is value for key, value in attributes.items())
    with pytest.raises(IncompatibleError, match=r"RED is no deepinv.*its denoiser, prior.denoiser, is one"):
        rgmkit.restore(y, "gaussian-noise:noise=0.1", deepinv.optim.RED(deepinv.models.MedianFilter()))
    with pytest.raises(ConfigError, match="give a degradation"):
        rgmkit.restore(y, object(), "tv")


def test_priors_of_deepinv_have_a_weight_that_suits_the_noise_or_a_note():
    y, blur = images(1, 1, 16, 16), "blur:std=1,noise=0.05"
    haar = deepinv.optim.WaveletPrior(level=2, wv="haar")  # on these sides no border comes in
    for thing, spec in [(haar, "wavelet:wavelet=haar,levels=2"), (deepinv.optim.TVL1Prior(), "deepinv.TVL1")]:
        as_it_is, by_name = (rgmkit.restore(y, blur, prior, solver="admm:iterations=5") for prior in (thing, spec))
        torch.testing.assert_close(as_it_is.x, by_name.x)
        assert not as_it_is.notes
    smooth = deepinv.optim.SmoothedTVPrior()
    (note,) = rgmkit.restore(y, blur, smooth, solver="pgd:iterations=1").notes
    assert "it counts with 1: give one, rgmkit_deepinv.objects.from_deepinv(prior, weight=" in note
    assert not rgmkit.restore(y, blur, from_deepinv(smooth, weight=2), solver="pgd:iterations=1").notes


def test_there_and_back_is_the_same_degradation():
    blur = rgmkit.degradation("blur:std=1,noise=0.05")
    physics = blur.to_deepinv((1, 8, 8))
    back = from_deepinv(physics)
    assert type(back) is type(blur) and back is not blur and back.noise == blur.noise
    louder = from_deepinv(physics, noise=0.2)
    assert isinstance(louder, Physics) and louder.noise == 0.2
    y = images(1, 1, 8, 8)
    torch.testing.assert_close(rgmkit.restore(y, physics, "tv").x, rgmkit.restore(y, blur, "tv").x)


def test_no_object_needs_deepinv_to_be_imported():
    code = (
        "import sys, torch, rgmkit\n"
        "from rgmkit.resolve import resolve_degradation\n"
        "resolve_degradation('gaussian-noise:noise=0.1'); resolve_degradation(rgmkit.degradation('blur'))\n"
        "print('deepinv' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


# ---- deepinv's parts, by name

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


@pytest.mark.parametrize("check", checks("prior"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("spec", ["deepinv.TGV:weight=3,steps=100", "deepinv.TVL1:weight=3", "deepinv.L1:weight=2"])
def test_priors_by_name_conform(spec, check):
    check(rgmkit.prior(spec), (2, 8, 12))


@pytest.mark.parametrize("check", checks("solver"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("spec", ["deepinv.DPIR", "deepinv.DiffPIR:iterations=15", "deepinv.DPS:iterations=30"])
def test_solvers_by_name_conform(spec, check):
    check(rgmkit.solver(spec))


def test_every_name_has_a_page_and_a_summary():
    from click.testing import CliRunner

    from rgmkit.cli.app import cli

    shown = CliRunner().invoke(cli, ["plugins", "show", "deepinv.BM3D"])
    assert shown.exit_code == 0 and "Dabov" in shown.output
    assert {"deepinv.Tomography", "deepinv.BM3D", "deepinv.DPS"} <= set(NAMES) and len(NAMES) >= 14
    for component in map(plugins.find, NAMES):
        assert component[0].summary
        cls = plugins.load_class(component[0].kind, component[0].name)
        assert cls.__name__ == component[0].name.removeprefix("deepinv.") and cls.__doc__


def test_tgv_is_the_prox_of_its_minimum():
    slope = torch.linspace(0, 1, 16, dtype=torch.float64).expand(1, 1, 16, 16)
    tgv = total_variation.TGV(weight=1, steps=300)
    assert (tgv.prox(slope, 0.02) - slope).abs().max() < (
        rgmkit.prior("tv", weight=1).prox(slope, 0.02) - slope
    ).abs().max()
    flat = torch.full_like(slope, 0.3)
    torch.testing.assert_close(tgv.prox(flat, 0.1), flat)


@pytest.mark.parametrize("name", ["deepinv.TGV", "deepinv.TVL1", "deepinv.BM3D", "deepinv.MedianFilter"])
def test_a_prior_by_name_restores(digits, name):
    degradation = rgmkit.degradation("gaussian-noise:noise=0.2")
    y = degradation(digits[:1], generator=seeded(1))
    x = rgmkit.restore(y, degradation, name, solver="pgd:iterations=2").x
    assert quality(x, digits[:1]) > quality(y, digits[:1]) + 1


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


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(requirements, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=r"deepinv.BM3D needs the package bm3d, which is not installed: pip install"):
        rgmkit.prior("deepinv.BM3D")
    with pytest.raises(ConfigError, match=r"prior 'deepinv.DRUNet' needs .*weights"):
        rgmkit.prior("deepinv.DRUNet")
    with pytest.raises(ConfigError, match="powers of 2"):
        rgmkit.degradation("deepinv.SinglePixel:shape=[1,12,12],measurements=4")
    with pytest.raises(ConfigError, match="measurements is 17: give 1 to 16"):
        rgmkit.degradation("deepinv.CompressedSensing:shape=[1,4,4],measurements=17")
    with pytest.raises(IncompatibleError, match="grey images, and this has 3"):
        operators.MRI(shape=(4, 4)).A(images(1, 3, 4, 4))
    with pytest.raises(DataError, match="give noise="):
        rgmkit.restore(images(1, 2, 8, 8), "deepinv.MRI:shape=[8,8]", "tv")
    monkeypatch.undo()
    for bm3d in (rgmkit.prior("deepinv.BM3D"), from_deepinv(deepinv.models.BM3D())):  # the package would crash
        with pytest.raises(IncompatibleError, match="BM3D is for images of 9 x 9 pixels or more"):
            bm3d.prox(images(1, 1, 8, 8), 0.01)
    with pytest.raises(IncompatibleError, match="DPS needs gradients, and the prior BM3D"):
        rgmkit.restore(images(1, 1, 16, 16), "gaussian-noise:noise=0.1", "deepinv.BM3D", solver="deepinv.DPS")


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
    state, x, state_of_all = network.state_dict(), images(2, 1, 33, 35), torch.random.get_rng_state()
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "w.safetensors")
    torch.save({"state_dict": state}, tmp_path / "w.pth.tar")
    with torch.no_grad():
        found = [
            rgmkit.prior(f"{name}:channels=1,{options},weights={tmp_path / w}") for w in ("w.safetensors", "w.pth.tar")
        ]
        answers = [prior.prox(x, torch.tensor([0.01, 0.04])) for prior in found]
        even = images(2, 1, 32, 32)
        torch.testing.assert_close(found[0].prox(even, 0.01), network(even, torch.tensor([0.1, 0.1])))
    assert torch.equal(*answers) and answers[0].shape == x.shape
    assert torch.equal(state_of_all, torch.random.get_rng_state())
    with pytest.raises(IncompatibleError, match=f"{name} has weights for 1 channels and the image has the shape"):
        rgmkit.restore(images(1, 3, 32, 32), "gaussian-noise:noise=0.1", found[0])


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


# ---- a trained model as a deepinv denoiser


def test_the_denoiser_takes_any_noise(digits, model):
    denoiser, old = model.to_deepinv(), -1.0
    for sigma in (3.0, 1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02):
        noisy = digits + sigma * torch.randn(digits.shape, generator=seeded(7))
        with torch.no_grad():
            x = denoiser(noisy, sigma)
        assert quality(x, digits) > max(quality(noisy, digits) + 0.3, old), sigma
        old = quality(x, digits)
    torch.testing.assert_close(denoiser(digits, 0.0), digits)


def test_the_denoiser_takes_one_noise_per_image(digits, model):
    denoiser, sigma = model.to_deepinv(), torch.tensor([0.0, 0.1, 0.2, 0.5, 1.0, 9.0, 99.0])
    x = digits[:1].repeat(7, 1, 1, 1)
    z = torch.zeros(7, model.latent)
    whole = denoiser(x, sigma, z=z)
    for i, s in enumerate(sigma):
        torch.testing.assert_close(denoiser(x[i : i + 1], float(s), z=z[:1]), whole[i : i + 1], rtol=0, atol=1e-4)
    for shaped in (sigma[:, None, None, None], sigma.double(), sigma.tolist()):
        torch.testing.assert_close(denoiser(x, shaped, z=z), whole, rtol=0, atol=1e-4)
    for level in (0.2, 0.632):  # no jump between levels
        low, high = denoiser(x, level * 0.999, z=z), denoiser(x, level * 1.001, z=z)
        assert (low - high).abs().max() < 0.02
    assert [denoiser.evaluations(s) for s in (0.0, 0.1, 0.3, 100.0, sigma)] == [0, 1, 2, 1, 2]
    with pytest.raises(IncompatibleError, match=r"shape \(3,\) for a batch of 7"):
        denoiser(x, sigma[:3])
    with pytest.raises(ConfigError, match="0 or more"):
        denoiser(x, -0.1)
    with pytest.raises(IncompatibleError, match="was trained on grey"):
        denoiser(x.expand(-1, 3, -1, -1), 0.1)


def test_the_denoiser_gives_the_same_bits_and_gradients(digits, model):
    state, x = torch.random.get_rng_state(), digits[:3].double().requires_grad_()
    first, again, other = (model.to_deepinv(seed=seed)(x, 0.3) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other) and first.dtype == torch.float64
    assert torch.equal(state, torch.random.get_rng_state())
    (slope,) = torch.autograd.grad(first.sum(), x)
    assert torch.isfinite(slope).all() and slope.abs().max() > 0
    assert not model.to_deepinv().prior.training and model.to_deepinv().prior is not model


def methods(denoiser, noise, norm):
    l2, prior = deepinv.optim.L2(), deepinv.optim.PnP(denoiser)
    common = {"data_fidelity": l2, "prior": prior, "sigma_denoiser": noise, "max_iter": 10}
    yield "PGD", deepinv.optim.PGD(**common, stepsize=1 / norm), {}
    yield "HQS", deepinv.optim.HQS(**common, stepsize=4 / norm), {}
    yield "DRS", deepinv.optim.DRS(**common, stepsize=1 / norm), {}
    yield "ADMM", deepinv.optim.ADMM(**common, stepsize=1 / norm), {}
    yield "DPIR", deepinv.optim.DPIR(sigma=noise, denoiser=denoiser), {}
    yield "DiffPIR", deepinv.sampling.DiffPIR(denoiser, l2, sigma=noise, max_iter=15, lambda_=2.0, zeta=0.5), {}
    dps = deepinv.sampling.DPS(denoiser, num_steps=30, weight=4.0, guidance="annealed")
    yield "DPS", dps, {"x_init": (2, 1, 16, 16)}


@pytest.mark.parametrize("spec", ["blur:std=1,noise=0.05", "downsample:factor=2,noise=0.05"])
def test_the_denoiser_runs_in_deepinvs_methods(digits, model, spec):
    degradation, truth = rgmkit.degradation(spec), digits[:2]
    physics, y = degradation.to_deepinv((1, 16, 16)), degradation(truth, generator=seeded(1))
    before, norm = quality(degradation.embed(y), truth), float(physics.compute_sqnorm(truth, verbose=False))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, method, options in methods(model.to_deepinv(), degradation.noise, norm):
            x = method(y, physics, **options)
            assert quality(x, truth) > before + 2, (name, quality(x, truth), before)


@pytest.mark.parametrize("solver", ["deepinv.DPIR", "deepinv.DiffPIR", "deepinv.DPS:iterations=20"])
def test_a_model_restores_by_deepinvs_methods(digits, model, solver):
    degradation, seen = rgmkit.degradation("blur:std=1,noise=0.05"), []
    y, truth = degradation(digits[:2], generator=seeded(1)), digits[:2]
    solution = rgmkit.restore(y, degradation, model, solver=solver, callback=lambda *call: seen.append(call[:2]))
    assert quality(solution.x, truth) > quality(y, truth) + 3
    assert seen == [(k + 1, seen[0][1]) for k in range(seen[0][1])] and solution.nfe >= len(seen)
    again = rgmkit.restore(y, degradation, model, solver=solver)
    other = rgmkit.restore(y[:1], degradation, model, solver=solver, seed=1)
    assert torch.equal(solution.x, again.x) and not torch.equal(solution.x[:1], other.x)
    assert solution.trace[-1]["residual"] < 0.1 and solution.trace[0]["sigma"] > solution.trace[-1]["sigma"]


def test_options_of_the_methods_are_checked():
    for cls, options in [(posterior_sampling.DiffPIR, {"zeta": 2.0}), (posterior_sampling.DPS, {"iterations": 1})]:
        with pytest.raises(ConfigError, match="give"):
            cls(**options)


# ---- deepinv's own tests of operators, on rgmkit's degradations

EXPORTED = {
    "gaussian-noise:noise=0": (3, 16, 12),
    "blur:std=1.3": (3, 16, 12),
    "blur:kernel=motion,length=5,angle=30": (3, 16, 12),
    "blur:std=1,boundary=reflect": (3, 16, 12),
    "blur:std=1,boundary=replicate": (3, 16, 12),
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


def test_holes_and_total_variation_of_deepinv_are_those_of_rgmkit():
    x = images(2, 3, 24, 20)
    mask = (images(3, 24, 20, seed=1) > 0.5).float()  # of each channel its own
    holes = deepinv.physics.Inpainting(img_size=(3, 24, 20), mask=mask, noise_model=deepinv.physics.GaussianNoise(0.02))
    first = from_deepinv(holes).embed(mask * x)
    assert torch.equal(mask * first, mask * x) and float(first[(mask == 0).expand_as(first)].min()) > 0
    y = mask * x
    as_it_is = rgmkit.restore(y, holes, deepinv.optim.TVPrior(), solver="admm:iterations=5").x
    by_name = rgmkit.restore(y, holes, "tv", solver="admm:iterations=5").x
    assert torch.equal(as_it_is, by_name)
