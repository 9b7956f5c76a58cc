"""Draws from the posterior: against the exact posterior of a Gaussian prior, and calibrated on digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from analytic import GaussianRestorer

import rgmkit
from rgmkit.adapters.channels import ChannelByChannel, MeanOfChannels
from rgmkit.adapters.tiled import Tiled
from rgmkit.core.random import RESTORING, Streams, randn, seeded
from rgmkit.core.solver import Problem, Solution
from rgmkit.errors import ConfigError
from rgmkit.solvers import posterior
from rgmkit.testing import measure_calibration
from rgmkit.testing.toys import GaussianField
from rgmkit.training.data.digits import Digits


def make_field(levels=8, r_first=0.04, r_last=4.0):
    """By default with the levels .02 … 2."""
    return GaussianField(
        rgmkit.process("gaussian", levels=levels, schedule="geometric", r_first=r_first, r_last=r_last)
    )


def simulate(degradation, x):
    return degradation(x, generator=Streams(0, range(len(x))))


@pytest.mark.parametrize(
    ("spec", "field", "tolerance"),
    [
        ("gaussian-noise:noise=0.2", {}, 0.06),
        ("blur:std=1,noise=0.05", {}, 0.06),
        ("inpaint:keep=0.5,noise=0.05", {}, 0.06),
        ("blur:std=1,noise=0.05", {"levels": 4, "r_first": 0.4}, 0.15),  # level 1 has the std of the images
    ],
    ids=["denoising", "blur", "inpainting", "few-levels"],
)
def test_draws_have_the_mean_and_covariance_of_the_posterior(spec, field, tolerance):
    prior, degradation, n = make_field(**field), rgmkit.degradation(spec), 200
    y = simulate(degradation, prior.draw(2))
    mean, covariance = prior.posterior(y, degradation)
    solution = rgmkit.restore(y, degradation, prior, samples=n)
    std = covariance.diagonal().sqrt().reshape(mean.shape[1:])
    assert float((solution.x - mean).square().mean().sqrt()) < 0.25 * float(std.mean())
    assert float((solution.std.square().mean((0, 1)).sqrt() / std - 1).mean().abs()) < tolerance
    error = (solution.samples - solution.x).flatten(2).flatten(0, 1)
    row = torch.roll(torch.eye(len(covariance), dtype=y.dtype), 1, 0)  # the covariance with the next pixel
    found, exact = (error.T @ error / len(error) * row).sum(), (covariance * row).sum()
    assert float(found / exact) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(
    ("spec", "images", "samples"), [("blur:std=1.5,noise=0.05", 6, 20), ("gaussian-noise:noise=0.2", 10, 40)]
)
def test_draws_are_calibrated_on_held_out_digits(spec, images, samples):
    truth, degradation = Digits(split="held-out").images[40 : 40 + images], rgmkit.degradation(spec)
    y = simulate(degradation, truth)
    solution = rgmkit.restore(y, degradation, "digits", samples=samples)
    found = measure_calibration(solution.samples, truth)
    assert 0.7 < found.coverage < 0.9 and 0.8 < found.error_over_spread < 1.3, found
    assert all(0.6 < tenth < 0.96 for tenth in found.deciles), found
    torch.testing.assert_close(solution.x, rgmkit.restore(y, degradation, "digits").x, rtol=0, atol=1e-5)
    assert 2 < solution.nfe / samples < 16


def test_errors_are_those_of_the_estimator_on_images_of_the_network():
    """`x' - S(A x' + noise')`, once for each sign, times 1.1 for a network that samples."""
    prior, noise = GaussianRestorer(std=0.3), 0.2
    degradation = rgmkit.degradation("gaussian-noise", noise=noise)
    y = torch.rand(2, 1, 4, 6, dtype=torch.float64)
    solution = rgmkit.restore(y, degradation, prior, solver={"use": "posterior", "estimator": "one-shot"}, samples=3)
    streams = Streams(0, range(2), purpose=RESTORING, draws=[1])
    estimate = rgmkit.restore(y, degradation, prior, solver="one-shot").x
    x, evaluations = posterior.resample(prior, estimate, streams)
    once = prior.evaluations(noise)
    assert evaluations == 2 + 2 and solution.nfe == once + 2 * (4 + once)
    problem = Problem.from_measurement(degradation(x, generator=streams), degradation, prior)
    error = 1.1 * (x - rgmkit.solver("one-shot").solve(problem, generator=streams).x)
    torch.testing.assert_close(solution.samples[0], estimate + error)
    torch.testing.assert_close(solution.samples[1], estimate - error)
    assert solution.samples.shape == (3, 2, 1, 4, 6) and not torch.allclose(solution.samples[2], solution.samples[0])


def test_a_network_that_samples_generates_images_down_its_levels():
    prior, x = GaussianRestorer(levels=4), torch.rand(2, 1, 4, 6, dtype=torch.float64)
    found, _ = posterior.resample(prior, x, Streams(0, range(2)))
    streams = Streams(0, range(2))
    for level in (3, 2):
        x = prior.restore(prior.degrade(x, level, generator=streams), level, generator=streams)
    std = 1.25 * prior.level_std(1)
    noise = randn(x.shape, generator=streams, dtype=x.dtype)
    torch.testing.assert_close(found, prior.denoise(x + std * noise, std, generator=streams))


def test_a_denoiser_generates_images_down_the_stds_of_its_levels():
    assert posterior.choose_stds(make_field()) == pytest.approx(np.geomspace(2, 0.02, 7))
    prior = make_field(levels=40)
    assert posterior.choose_stds(prior) == pytest.approx(np.geomspace(2, 0.02, 8))
    prior.continuous = False
    stds = posterior.choose_stds(prior)
    assert len(stds) == 8 and all(min(abs(prior.level_stds - std)) < 1e-6 for std in stds)
    assert posterior.choose_stds(make_field(levels=3, r_first=20, r_last=30)) == pytest.approx([10])


def test_a_denoiser_is_told_from_a_network_that_samples():
    """Also inside an adapter, which may have a latent z of its own."""
    sampler, denoiser = rgmkit.load("digits"), rgmkit.load("photographs")
    adapters = [Tiled(denoiser, tile=16), ChannelByChannel(denoiser, channels=3), MeanOfChannels(denoiser, size=(4, 6))]
    assert adapters[-1].latent > 0 and not denoiser.generative
    assert not any(adapter.generative or posterior.draws_samples(adapter) for adapter in adapters)
    assert posterior.draws_samples(sampler) and posterior.draws_samples(ChannelByChannel(sampler, channels=3))


def test_a_degradation_that_is_not_linear_is_sampled_with_one_shot():
    y = rgmkit.degradation("jpeg:quality=10")(Digits(split="held-out").images[:2])
    solution = rgmkit.restore(y, "jpeg:quality=10,noise=0", "digits", samples=4)
    torch.testing.assert_close(solution.x, rgmkit.restore(y, "jpeg:quality=10,noise=0", "digits").x)
    assert float(solution.std.mean()) > 0.01


def test_intervals_are_by_ranks_and_come_in_the_layout_of_the_samples():
    samples = torch.arange(1.0, 10)[torch.randperm(9), None].repeat(1, 2)
    lower, upper = Solution(None, samples=samples).interval(0.8)
    assert (lower.tolist(), upper.tolist()) == ([1, 1], [9, 9])
    lower, upper = Solution(None, samples=samples.numpy()).interval(0.5)
    assert (lower.tolist(), upper.tolist()) == ([2.5, 2.5], [7.5, 7.5]) and lower.dtype == np.float32
    lower, upper = Solution(None, samples=samples.to(torch.uint8)).interval(0.6)
    assert (lower.tolist(), upper.tolist(), lower.dtype) == ([2, 2], [8, 8], torch.uint8)
    with pytest.raises(ConfigError, match="needs 19 samples, not 9"):
        Solution(None, samples=samples).interval(0.9)
    with pytest.raises(ConfigError, match="give samples="):
        Solution(None).interval(0.8)


@pytest.mark.parametrize(("widened", "coverage", "ratio"), [(1, 0.815, 1), (0.5, 0.49, 2), (2, 0.99, 0.5)])
def test_calibration_is_measured_where_the_samples_vary(widened, coverage, ratio):
    values = torch.randn(65, 20, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    size = torch.linspace(0, 1, 20)  # of the spread; the first column is constant
    samples, truth = widened * size * values[1:], size * values[0]
    found = measure_calibration(samples, truth)
    assert found.nominal == pytest.approx(53 / 65) and found.pixels == pytest.approx(0.95)
    assert found.coverage == pytest.approx(coverage, abs=0.03) and len(found.deciles) == 10
    assert found.error_over_spread == pytest.approx(ratio, rel=0.05)
    half = measure_calibration(torch.where(size < 0.5, samples, 3 * samples), truth).deciles  # in order of the spread
    assert half[0] == pytest.approx(coverage, abs=0.05) and half[-1] > 0.95


def test_the_probability_flow_is_integrated_to_second_order(monkeypatch):
    """For white Gaussian images of std s, `x - mean` shrinks from std t to u by `sqrt((s^2 + u^2) / (s^2 + t^2))`."""
    prior = GaussianRestorer(mean=0.0, std=0.6, sample=False)
    prior.process = rgmkit.process("gaussian", levels=9, schedule="geometric", r_first=0.04, r_last=4.0)
    monkeypatch.setattr(posterior, "draw_residual", lambda prior, x, std, generator: 0)
    near, stds, s = torch.full((50, 1, 4, 6), 0.5, dtype=torch.float64), posterior.choose_stds(prior), 0.3
    start = stds[0] * torch.randn(near.shape, generator=seeded(0), dtype=near.dtype)  # less the mean, 1/2
    found, evaluations = posterior.integrate_flow(prior, near, seeded(0))
    assert evaluations == len(stds) + 2 == 10
    end = start * ((s**2 + stds[-1] ** 2) / (s**2 + stds[0] ** 2)) ** 0.5
    exact = end * s**2 / (s**2 + stds[-1] ** 2)  # denoised
    assert float((found - 0.5 - exact).norm() / exact.norm()) < 0.03
    monkeypatch.setattr(type(prior), "evaluations", lambda self, std: 2 if std == stds[-1] else 1)
    assert posterior.integrate_flow(prior, near, seeded(0))[1] == len(stds) + 1 + 2 * 2
