"""A trained model as a deepinv denoiser."""

from __future__ import annotations

import deepinv
import pytest
import torch

import rgmkit
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")


@pytest.fixture(scope="module")
def digits():
    return Digits(split="held-out").images[:24]


@pytest.fixture(scope="module")
def model():
    return rgmkit.load("digits")


def quality(x, truth):
    return float(psnr(x.detach().clamp(0, 1).float(), truth).mean())


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
    assert [denoiser.evaluations(s) for s in (0.0, 0.1, 0.3, 100.0, sigma)] == [0, 2, 2, 1, 2]
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
@pytest.mark.slow
def test_the_denoiser_runs_in_deepinvs_methods(digits, model, spec):
    degradation, truth = rgmkit.degradation(spec), digits[:2]
    physics, y = degradation.to_deepinv((1, 16, 16)), degradation(truth, generator=seeded(1))
    before, norm = quality(degradation.embed(y), truth), float(physics.compute_sqnorm(truth, verbose=False))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, method, options in methods(model.to_deepinv(), degradation.noise, norm):
            x = method(y, physics, **options)
            assert quality(x, truth) > before + 2, (name, quality(x, truth), before)
