"""Diffusion models as configurations: the schedules and samplers of DDPM and DDIM, and Langevin dynamics."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from analytic import Diagonal, GaussianRestorer
from rgmkit_downsample.process import MultiscaleProcess
from rgmkit_noise.process import GaussianProcess

import rgmkit
from rgmkit import inference
from rgmkit.core.random import randn, seeded
from rgmkit.core.solver import Problem
from rgmkit.errors import ConfigError
from rgmkit.solvers.cascade import choose_levels
from rgmkit.testing.toys import GaussianField
from rgmkit.training.preview import choose_sampler

SHAPE = (1, 4, 6)
LINEAR = 1 - np.linspace(1e-4, 0.02, 1000)  # 1 - beta of DDPM


def make_denoiser(**options):
    """An exact denoiser of Gaussian images with the 1,000 levels of DDPM."""
    prior = GaussianRestorer(SHAPE, std=0.5, sample=False)
    prior.process = GaussianProcess(**{"levels": 1000, "schedule": "linear", **options})
    return prior


def test_the_published_schedules():
    linear, cosine = (GaussianProcess(levels=1000, schedule=name).a_by_level ** 2 for name in ("linear", "cosine"))
    np.testing.assert_allclose(linear[1:], np.cumprod(LINEAR), rtol=1e-5)
    f = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(cosine[:-1], (f / f[0])[:-1], rtol=1e-5)  # only the last beta exceeds .999
    assert float(cosine[-1] / cosine[-2]) == pytest.approx(0.001, rel=1e-4)
    with pytest.raises(ConfigError, match="more than 20"):
        GaussianProcess(levels=20, schedule="linear")


def test_eta_1_at_all_levels_is_ddpm():
    """Ho et al. 2020, equations 6 and 7: the mean and the variance of `q(x_{t-1} | x_t, x_0)`."""
    prior, generator, abar = make_denoiser(), seeded(3), np.cumprod([1, *LINEAR])
    y = prior.process.sigma_by_level[1000] * randn((2, *SHAPE), generator=generator)
    for t in range(1000, 0, -1):
        x = 2 * prior.restore(y, t) - 1
        beta, left = 1 - LINEAR[t - 1], 1 - abar[t]
        mean = abar[t - 1] ** 0.5 * beta / left * x + LINEAR[t - 1] ** 0.5 * (1 - abar[t - 1]) / left * y
        if t > 1:
            y = mean + ((1 - abar[t - 1]) / left * beta) ** 0.5 * randn(y.shape, generator=generator)
    problem = Problem(prior, (2, *SHAPE))
    found = rgmkit.solver("cascade", eta=1).solve(problem, generator=seeded(3))
    assert found.nfe == 1000
    torch.testing.assert_close(found.x, (x + 1) / 2, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("eta", "levels", "tolerance"), [(1, 1000, 0.03), (0, 250, 0.03), (0, 50, 0.08)])
def test_samples_have_the_law_of_the_data(eta, levels, tolerance):
    prior = make_denoiser()
    x = rgmkit.generate(prior, 250, solver=f"cascade:eta={eta},levels={levels}")
    assert len(prior.calls) == levels
    assert float(x.clamp(0, 1).mean()) == pytest.approx(0.55, abs=0.01)
    assert float(x.std()) == pytest.approx(0.25 * clamped_share(), rel=tolerance)


def clamped_share():
    """The std of N(.55, .25^2) clamped to [0, 1], over .25."""
    x = (0.55 + 0.25 * randn((10**6,), generator=seeded(0))).clamp(0, 1)
    return float(x.std()) / 0.25


def test_ddim_draws_nothing_on_its_way(monkeypatch):
    """The images are a function of the first noise."""
    prior, found = make_denoiser(levels=100), []
    start = randn((2, *SHAPE), generator=seeded(0))
    monkeypatch.setattr(prior.process, "terminal", lambda *_, **__: start)
    for eta in (0, 0, 0.5, 0.5):
        solver = rgmkit.solver("cascade", eta=eta, levels=20)
        found.append(solver.solve(Problem(prior, (2, *SHAPE)), generator=seeded(len(found))).x)
    assert found[0].equal(found[1]) and not torch.allclose(found[2], found[3], atol=0.01)
    prior.calls.clear()
    rgmkit.generate(prior, 2, solver="cascade:levels=4")
    assert [level for level, _ in prior.calls] == [100, 75, 50, 25]


def test_training_generates_from_50_levels_at_most(tmp_path, monkeypatch):
    """By DDIM, if the process can; there are no chains from each level then."""
    prior = make_denoiser(levels=50)
    assert choose_sampler(prior) == "cascade"
    prior.process = MultiscaleProcess(levels=51)
    assert choose_sampler(prior) == "cascade:levels=50"
    solvers, generate = [], inference.generate

    def record(*args, **given):
        solvers.append(given["solver"])
        return generate(*args, **given)

    monkeypatch.setattr(inference, "generate", record)
    process, training = {"use": "gaussian", "levels": 60, "schedule": "linear"}, {"steps": 1, "preview_every": 1}
    config = {"data": "gmm", "process": process, "network": "mlp", "objective": "mmse", "training": training}
    facts = rgmkit.models.describe(rgmkit.train(config, out=tmp_path))["facts"]
    assert solvers == 2 * ["cascade:levels=50,eta=0"] and set(facts["metrics"]) == {"noise", "real images"}


def test_a_denoiser_is_evaluated_with_a_solver_that_generates():
    prior = GaussianRestorer((1, 16, 16), sample=False, levels=60)
    prior.generative = False
    options = {"count": 20, "reference": 20, "restored": 0}
    assert not rgmkit.evaluate(prior, "digits", **options).generation
    found = rgmkit.evaluate(prior, "digits", solver="cascade:eta=0,levels=6", **options)
    starts = [row.level for row in found.generation if row.start.startswith("chain")]
    assert found.cost.nfe == 0 and starts == [52, 45, 38, 30, 22, 15, 8]


@pytest.mark.slow
@pytest.mark.parametrize(("schedule", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_schedules_and_steps_are_those_of_diffusers(schedule, theirs):
    pytest.importorskip("diffusers")
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    process = GaussianProcess(levels=1000, schedule=schedule)
    options = {"beta_schedule": theirs, "prediction_type": "sample", "timestep_spacing": "trailing"}
    ddpm, ddim = (kind(clip_sample=False, **options) for kind in (DDPMScheduler, DDIMScheduler))
    torch.testing.assert_close(process.a_by_level[1:] ** 2, ddpm.alphas_cumprod, rtol=1e-4, atol=1e-9)
    for scheduler, eta, count in ((ddpm, 1, 1000), (ddpm, 1, 50), (ddim, 0, 50), (ddim, 0.5, 10)):
        scheduler.set_timesteps(count)
        levels = (scheduler.timesteps + 1).tolist()
        assert levels == choose_levels(1000, count)
        for level, target in [*pairwise([*levels, 0])][:: max(1, count // 10)]:
            x_hat, y = randn((2, *SHAPE), generator=seeded(level))
            e = randn(y.shape, generator=seeded(level, 1))
            extra = {"generator": seeded(level, 1)} if scheduler is ddpm else {"eta": eta, "variance_noise": e}
            expected = scheduler.step(x_hat, level - 1, y, **extra).prev_sample
            at = [process.full_level(s, y[None]) for s in (level, target)]
            found = process.descend(x_hat[None], y[None], at[0], eta, standard_normal=e[None], target=at[1])
            torch.testing.assert_close(found[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prior", ["network", "tv"])
def test_langevin_follows_its_equations(prior):
    prior = make_denoiser() if prior == "network" else rgmkit.prior("tv", weight=3)
    degradation = Diagonal(torch.linspace(0, 2, 8), noise=0.1)
    y, iterations, first, last, step = torch.rand(2, 1, 8, 8, generator=seeded(1)), 6, 0.4, 0.1, 0.7
    problem = Problem.from_measurement(y, degradation, prior)
    vars(problem)["scale"] = replace(problem.scale, excess=3.0)  # as with noise that differs between pixels
    solver = rgmkit.solver("langevin", iterations=iterations, first=first, last=last, step=step)
    found, generator = solver.solve(problem, generator=seeded(2)), seeded(2)
    x = degradation.initial_estimate(y) + first * randn(y.shape, generator=generator)
    for std in np.geomspace(first, last, iterations).tolist():
        gain = 3 * problem.scale.largest_gain
        noise = 0.1**2 + gain * (std**2 - last**2)
        score = (prior.prox(x, std**2, generator=generator) - x) / std**2
        score = score + degradation.d * (y - degradation.d * x) / noise
        e = step / (gain / noise + 1 / std**2)
        x = x + e / 2 * score + e**0.5 * randn(x.shape, generator=generator)
    if hasattr(prior, "process"):
        x = prior.denoise(x, last)
        assert found.nfe == sum(map(prior.evaluations, np.geomspace(first, last, iterations))) + prior.evaluations(last)
    torch.testing.assert_close(found.x, x)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["downsample:factor=2,noise=0.05", "gaussian-noise:noise=0.2"])
def test_langevin_dynamics_draw_from_the_posterior(spec):
    """Images of 2 x 2 correlated pixels, of which one mean is measured, or all: mean and covariance to 5 %."""
    prior = GaussianField(GaussianProcess(levels=1000, schedule="linear"), side=2, length=0.5)
    degradation = rgmkit.degradation(spec)
    y = degradation(prior.draw(1), generator=seeded(1))
    mean, covariance = prior.posterior(y, degradation)
    problem = Problem.from_measurement(y.expand(8000, -1, -1, -1), degradation, prior)
    error = (rgmkit.solver("langevin").solve(problem, generator=seeded(0)).x - mean).flatten(1)
    assert float(error.mean(0).norm()) < 0.05 * float(covariance.trace().sqrt())
    assert float((error.T.cov() - covariance).norm()) < 0.05 * float(covariance.norm())


def test_plug_and_play_ula_draws_from_the_posterior_of_noisy_images():
    """With a constant std, the law of images with noise of this std, and D of them; one pixel in two is measured."""
    prior, s, noise, step = make_denoiser(levels=100, schedule="vp"), 0.25, 0.1, 0.5
    s, mask = prior.level_std(20), torch.tensor([1.0, 0.0]).repeat(3)
    y = torch.full((1500, *SHAPE), 0.6) * mask
    problem = Problem.from_measurement(y, Diagonal(mask, noise=noise), prior)
    x = rgmkit.solver("langevin", first=s, last=s, step=step, iterations=150).solve(problem, generator=seeded(0)).x
    data, e = 0.25**2, step / (1 / noise**2 + 1 / s**2)
    shrink = data / (data + s**2)
    for pixels, precision in ((x[..., ::2], 1 / noise**2), (x[..., 1::2], 0.0)):
        slope = precision + 1 / (data + s**2)
        std = shrink / (slope * (1 - e * slope / 4)) ** 0.5
        mean = (precision * 0.6 + 0.55 / (data + s**2)) / slope
        assert float(pixels.std()) == pytest.approx(std, rel=0.03)
        assert float(pixels.mean()) == pytest.approx(0.55 + shrink * (mean - 0.55), abs=0.01)


def test_langevin_samples_and_generates():
    prior = make_denoiser()
    y = torch.rand(2, *SHAPE, generator=seeded(0))
    solver = rgmkit.solver("langevin", iterations=20, first=0.2)
    solution = rgmkit.restore(y, "inpaint:keep=0.5,noise=0.1", prior, solver=solver, samples=3)
    assert solution.samples.shape == (3, 2, *SHAPE) and float(solution.std.min()) > 0
    x = rgmkit.generate(prior, 200, solver="langevin:iterations=200")
    assert float(x.std()) == pytest.approx(0.25 * clamped_share(), rel=0.1) and x.mean() == pytest.approx(
        0.55, abs=0.03
    )
    with pytest.raises(ConfigError, match="the std falls"):
        rgmkit.generate(prior, 1, solver="langevin:first=0.1,last=0.2")
