"""Noise that is estimated, the solver without a prior, samples, traces, stopping, and what was not accurate."""

from __future__ import annotations

import itertools
import json
import warnings

import numpy as np
import pytest
import torch
from analytic import GaussianRestorer
from skimage.data import camera, chelsea
from torch.nn.functional import avg_pool2d

import rgmkit
from rgmkit import images
from rgmkit.cli.app import cli
from rgmkit.core.accuracy import collect_shortfalls
from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import conjugate_gradients
from rgmkit.core.random import Streams, seeded
from rgmkit.errors import AccuracyWarning, ConfigError, DataError, IncompatibleError
from rgmkit.solvers import sampling
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")

HELD_OUT = 32


@pytest.fixture(scope="module")
def photo():
    return torch.from_numpy(camera() / 255).float()[None, None]


@pytest.fixture(scope="module")
def digits():
    return Digits(split="held-out").images[:HELD_OUT]


@pytest.fixture(scope="module")
def network():
    return rgmkit.load("digits")


class Steep(Degradation):
    """Columns of singular values 1 … 1e-5: conjugate gradients do not reach the end."""

    def A(self, x):
        return x * torch.logspace(0, -5, x.shape[-1], dtype=x.dtype)


def measured(spec, x):
    degradation = rgmkit.degradation(spec) if isinstance(spec, str) else spec
    return degradation, degradation(x, generator=Streams(0, range(len(x))))


@pytest.mark.parametrize("operator", ["gaussian-noise:", "blur:std=1.5,", "downsample:factor=2,"])
@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_noise_is_estimated_within_15_percent_on_photographs(photo, operator, noise):
    degradation, y = measured(f"{operator}noise={noise}", photo)
    assert degradation.estimate_noise(y) == pytest.approx(noise, rel=0.15)
    colour = torch.from_numpy(chelsea() / 255).float().movedim(-1, 0)[None, :, :300, :450]
    degradation, y = measured(f"{operator}noise={noise}", colour)
    assert degradation.estimate_noise(y) == pytest.approx(noise, rel=0.15)


def test_the_estimate_leaves_out_what_is_even():
    degradation, y = measured("gaussian-noise:noise=0.05", torch.full((2, 1, 64, 64), 0.5))
    y[..., :40] = 0  # clipped
    assert degradation.estimate_noise(y) == pytest.approx(0.05, rel=0.1)
    assert degradation.estimate_noise(0 * y) == 0


@pytest.mark.parametrize("y", [torch.zeros(3, 2), torch.zeros(1, 1, 4, 9), torch.zeros(1, 1, 9, 9).cfloat()])
def test_what_has_no_details_has_no_estimate(y):
    with pytest.raises(DataError, match="give noise="):
        rgmkit.degradation("blur").estimate_noise(y)


@pytest.mark.parametrize("asked", ["blur:std=1", {"use": "blur", "std": 1}])
def test_noise_that_is_not_given_is_estimated_and_said(photo, asked):
    small = avg_pool2d(photo, 4)
    _, y = measured("blur:std=1,noise=0.05", small)
    solution = rgmkit.restore(y, asked, "tikhonov", solver="pgd:iterations=5")
    assert solution.noise == pytest.approx(0.05, rel=0.1)
    assert solution.notes == (f"noise estimated from the measurement: std {solution.noise:g}; to set it, give noise=",)
    known = rgmkit.restore(
        y, rgmkit.degradation("blur", std=1, noise=solution.noise), "tikhonov", solver="pgd:iterations=5"
    )
    assert torch.equal(solution.x, known.x) and known.notes == ()
    for given in ("blur:std=1,noise=0", rgmkit.degradation("blur:std=1")):
        solution = rgmkit.restore(y, given, "tikhonov", solver="pgd:iterations=1")
        assert (solution.noise, solution.notes) == (0, ())
    even = rgmkit.restore(torch.full((1, 32, 32), 0.5), asked, "tikhonov", solver="pgd:iterations=1")
    assert even.noise == 1e-3 and "no noise was found" in even.notes[0]


def test_without_a_prior_the_pseudo_inverse_answers():
    y = torch.rand(2, 1, 6, 5, generator=seeded(0), dtype=torch.float64)
    solution = rgmkit.restore(y, "downsample:factor=2")  # too small for an estimate: it counts with no noise
    assert torch.equal(solution.x, y.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert solution.nfe == 0 and solution.trace[0]["residual"] < 1e-12 and solution.notes == ()
    with pytest.raises(IncompatibleError, match=r"PGD needs a prior with prox, and there is none: give a prior"):
        rgmkit.restore(y, "downsample:factor=2,noise=0.1", solver="pgd")


def test_samples_are_draws_of_the_posterior_and_the_first_is_the_restoration():
    """One evaluation of a perfect network at the noise of its level: `N(…, s^2 n^2 / (s^2 + n^2))` per pixel."""
    prior = GaussianRestorer(std=0.3)
    n, s, y = prior.level_std(1), 0.15, torch.rand(2, 1, 4, 6, generator=seeded(0))
    degradation = rgmkit.degradation("gaussian-noise", noise=n)
    solution = rgmkit.restore(y, degradation, prior, solver="one-shot", samples=400)
    assert solution.samples.shape == (400, 2, 1, 4, 6) and solution.nfe == 400
    torch.testing.assert_close(solution.x, solution.samples.mean(0))
    torch.testing.assert_close(solution.std, solution.samples.std(0))
    assert float(solution.std.square().mean().sqrt()) == pytest.approx(s * n / (s**2 + n**2) ** 0.5, rel=0.03)
    alone = rgmkit.restore(y, degradation, prior, solver="one-shot")
    torch.testing.assert_close(solution.samples[0], alone.x, rtol=0, atol=1e-6)
    assert alone.samples is None and alone.std is None


def test_a_sample_depends_on_seed_image_and_number_alone(network, digits, monkeypatch):
    degradation, y = measured("blur:std=1.5,noise=0.05", digits[:2])
    seen = []

    def draws(y, n, batch):
        monkeypatch.setattr(sampling, "choose_batch_size", lambda *_: batch)
        return rgmkit.restore(
            y, degradation, network, samples=n, callback=lambda k, of, x: seen.append((k, of))
        ).samples

    together, seen[:] = draws(y, 5, 1000), []
    torch.testing.assert_close(draws(y, 5, 4), together, rtol=0, atol=1e-5)  # 2 draws of 2 images at a time
    assert [k for k, _ in seen] == list(range(1, len(seen) + 1)) and {of for _, of in seen} == {len(seen)}
    torch.testing.assert_close(draws(y[0], 3, 1), together[:3, 0], rtol=0, atol=1e-5)
    assert len(together.flatten(0, 1).unique(dim=0)) == 10


@pytest.mark.parametrize("form", ["array", "alpha", "tensor"])
def test_samples_come_in_the_layout_that_was_asked_with(form, network):
    y = np.random.default_rng(0).integers(0, 256, (16, 16) if form == "array" else (16, 16, 2)).astype(np.uint8)
    y = torch.from_numpy(y[None, ..., 0]) if form == "tensor" else y
    solution = rgmkit.restore(y, "gaussian-noise:noise=0.25", network, samples=3)
    assert type(solution.samples) is type(solution.std) is type(y)
    assert solution.samples.dtype == y.dtype and tuple(solution.samples.shape) == (3, *y.shape)
    single = (1, 16, 16) if form == "tensor" else (16, 16) if form == "array" else (16, 16, 1)
    assert tuple(solution.std.shape) == single and "float32" in str(solution.std.dtype) and solution.std.max() > 0


def test_a_method_that_draws_nothing_says_so(photo):
    y = avg_pool2d(photo, 8)
    solution = rgmkit.restore(y, "blur:std=1,noise=0.05", "tikhonov", samples=3)
    assert solution.notes == ("ADMM draws nothing with this prior: the 3 samples are all the same",)
    assert float(solution.std.abs().max()) == 0 and torch.equal(solution.samples[2], solution.x)
    for wrong in (0, -2):
        with pytest.raises(ConfigError, match=f"samples is {wrong}: give 1 or more"):
            rgmkit.restore(y, "blur:noise=0.1", "tikhonov", samples=wrong)


def test_a_run_warns_once_of_a_prox_that_stopped_early():
    y = torch.rand(2, 1, 4, 400, generator=seeded(0), dtype=torch.float64)
    with pytest.warns(AccuracyWarning, match=r"Steep.prox stopped early 3 times: relative residual up to \d") as seen:
        solution = rgmkit.restore(y, Steep(noise=1e-5), "tikhonov", solver="admm:iterations=3,step=1")
    assert len(seen) == 1 and solution.notes == (str(seen[0].message),)
    with collect_shortfalls() as shortfalls, warnings.catch_warnings():
        warnings.simplefilter("error")
        Steep().pinv(y)
    assert shortfalls.times == {"Steep.pinv": 1}


def test_conjugate_gradients_solve_each_image_as_if_alone():
    scale = torch.logspace(0, 2, 50, dtype=torch.float64)
    b = torch.rand(2, 1, 1, 50, generator=seeded(0), dtype=torch.float64)
    b[1] = 0
    b[1, ..., 0] = 1  # done after one step
    both = conjugate_gradients(lambda x: scale * x, b, rtol=1e-4)
    one = conjugate_gradients(lambda x: scale * x, b[1:], rtol=1e-4)
    assert one.steps < both.steps and torch.equal(both.x[1:], one.x)


@pytest.mark.parametrize("solver", ["pnp-drs", "cascade:tolerance=0.1", "pgd", "admm"])
def test_an_image_stops_on_its_own(solver, network, digits):
    """Some are done before others, and what an image needs is not what its batch needs."""
    prior = network if solver.startswith(("pnp", "cascade")) else "tv"
    degradation, y = measured("blur:std=1,noise=0.05", digits[:6])
    whole = rgmkit.restore(y, degradation, prior, solver=solver)
    first = rgmkit.restore(y[:1], degradation, prior, solver=solver)
    torch.testing.assert_close(first.x, whole.x[:1], rtol=0, atol=1e-4)
    assert len(first.trace) < len(whole.trace) or solver != "admm"
    assert all({"residual", "change"} <= set(row) for row in whole.trace)


def test_pnp_drs_needs_one_evaluation_where_nothing_is_lost(network, digits):
    degradation, y = measured("gaussian-noise:noise=0.1", digits)
    solution = rgmkit.restore(y, degradation, network, solver="pnp-drs")
    one_shot = rgmkit.restore(y, degradation, network, solver="one-shot")
    assert solution.nfe == 1 and torch.equal(solution.x, one_shot.x)
    for same in ("blur:std=0.05,noise=0.1", degradation):  # a blur that is the identity up to rounding
        short = rgmkit.restore(y, same, network, solver="pnp-drs:alpha=0.2")
        assert short.nfe == 1 and torch.allclose(short.x, one_shot.x, atol=1e-3)
    by_levels = rgmkit.restore(y, degradation, network, solver="pnp-drs:levels=2,iterations=3,alpha=0.2")
    assert by_levels.nfe == 6 and psnr(by_levels.x, digits).mean() > psnr(y, digits).mean()


@pytest.mark.parametrize("solver", ["cascade", "one-shot", "pnp-drs"])
def test_a_little_more_noise_is_a_little_more_error(solver, network, digits):
    """At the levels of the ladder, too: .2 and .63."""
    found = []
    for noise in (0.18, 0.199, 0.2, 0.201, 0.22, 0.6, 0.65):
        degradation, y = measured(f"gaussian-noise:noise={noise}", digits)
        found.append(float(psnr(rgmkit.restore(y, degradation, network, solver=solver).x.clamp(0, 1), digits).mean()))
    assert all(-0.1 < a - b < 1.5 for a, b in itertools.pairwise(found[:5])), found
    assert found[2] > 23.5 and found[5] - found[6] < 1.5, found


def test_the_network_takes_off_noise_of_any_std(network, digits):
    """Better than the nearest level with its noise added, by which it was trained."""
    for std, least in ((0.02, 34.5), (0.1, 25.5), (0.4, 20)):
        _, y = measured(f"gaussian-noise:noise={std}", digits)
        level = 1 + int((network.level_stds / std).log().abs().argmin())
        added = network.restore(
            network.degrade(y, level, noise_std=std, generator=seeded(1)), level, generator=seeded(2)
        )
        x = network.prox(y, std**2, generator=seeded(2))
        torch.testing.assert_close(x, network.denoise(y, std, generator=seeded(2)), rtol=0, atol=1e-6)
        found = float(psnr(x.clamp(0, 1), digits).mean())
        assert found > max(least, float(psnr(added.clamp(0, 1), digits).mean()) + 0.2), found


LEAST = {  # PSNR in dB of the first held-out digits
    "gaussian-noise:noise=0.25": {"cascade": 22.8, "pnp-drs": 22.8, "admm": 22.8},
    "blur:std=1.5,noise=0.05": {"cascade": 24.1, "pnp-drs": 25.3, "admm": 25.2},
    "downsample:factor=2,noise=0.05": {"cascade": 26.1, "pnp-drs": 28.3, "admm": 28},
    "inpaint:keep=0.5,noise=0.02": {"cascade": 25.2, "pnp-drs": 30.5, "admm": 30.8},
}


@pytest.mark.parametrize("spec", LEAST)
def test_defaults_come_from_the_problem(spec, network, digits):
    degradation, y = measured(spec, digits)
    found = {
        solver: float(psnr(rgmkit.restore(y, degradation, network, solver=solver).x.clamp(0, 1), digits).mean())
        for solver in LEAST[spec]
    }
    assert all(found[solver] > least for solver, least in LEAST[spec].items()), found


@pytest.fixture
def noisy(tmp_path, digits):
    path = tmp_path / "noisy.npy"
    _, y = measured("gaussian-noise:noise=0.25", digits[:1])
    np.save(path, y[0, 0].numpy())
    return path


def test_the_command_line_samples_and_traces(noisy, tmp_path, capsys):
    args = ["restore", str(noisy), "-d", "gaussian-noise", "--prior", "digits", "--samples", "4", "--trace"]
    cli([*args, "-o", str(tmp_path / "x.npy"), "--json"], standalone_mode=False)
    out, err = capsys.readouterr()
    facts = json.loads(out)
    std = np.load(tmp_path / "x-std.npy")
    assert facts["std"]["largest"] == pytest.approx(std.max()) and facts["std"]["file"].endswith("x-std.npy")
    assert facts["trace"] and {"sigma", "residual", "change"} <= set(facts["trace"][0])
    assert facts["noise"] == pytest.approx(0.25, rel=0.5) and "noise estimated" in facts["notes"][0]
    assert "note: noise estimated from the measurement: std" in err

    cli([*args, "-o", str(tmp_path / "x.png")], standalone_mode=False)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("std") and "step" in lines[3].split() and len(lines) == 4 + len(facts["trace"])
    assert f"x-std.png: the standard deviation of the samples; black is 0, white {std.max():.3g}" in err
    picture = images.read(tmp_path / "x-std.png").x[0, 0].numpy()
    np.testing.assert_allclose(picture * std.max(), std, atol=std.max() / 250)


def test_the_command_line_needs_no_prior(noisy, tmp_path, capsys):
    args = ["restore", str(noisy), "-d", "downsample:factor=2", "-o", str(tmp_path / "x.npy"), "--json"]
    cli(args, standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["prior"] is None
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[::2, ::2], np.load(noisy))


RULES = [(True, 4, None), (True, 4, 1.0), (False, 1000, 1.0), (False, 1000, 0.0)]


@pytest.mark.parametrize("sample, levels, eta", RULES)
def test_generated_law(sample, levels, eta):
    """Draws of the posterior give the law of the data in four levels, means in many (.10 with new noise at each)."""
    prior = GaussianRestorer((1, 8, 8), sample=sample, levels=levels)
    x = 2 * rgmkit.generate(prior, 200, solver={"use": "cascade", "eta": eta}) - 1
    assert abs(float(x.mean()) - 0.1) < 0.01 and abs(float(x.std()) / 0.15 - 1) < 0.05
