"""Samples of a restoration: mean, standard deviation, random streams, layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from analytic import ExactRestorer, GaussianRestorer

import rgmkit
from rgmkit import images
from rgmkit.cli.app import cli
from rgmkit.core.random import Streams, seeded
from rgmkit.errors import ConfigError
from rgmkit.solvers import sampling
from rgmkit.training.data.digits import Digits

HELD_OUT = 32


@pytest.fixture(scope="module")
def digits():
    return Digits(split="held-out").images[:HELD_OUT]


@pytest.fixture(scope="module")
def network():
    return rgmkit.load("digits")


def measured(spec, x):
    degradation = rgmkit.degradation(spec) if isinstance(spec, str) else spec
    return degradation, degradation(x, generator=Streams(0, range(len(x))))


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
    two = rgmkit.restore(y, degradation, prior, solver="one-shot", samples=2)
    torch.testing.assert_close(two.x, two.samples.mean(0))
    assert float(two.std.min()) > 0


def test_a_prior_without_a_latent_draws_nothing():
    prior, y = ExactRestorer(rgmkit.process("gaussian", levels=4)), torch.rand(1, 1, 4, 6).double()
    solution = rgmkit.restore(y, "gaussian-noise:noise=0.1", prior, solver="one-shot", samples=2)
    assert float(solution.std.max()) == 0 and "the 2 samples are all the same" in solution.notes[-1]


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


def test_the_mean_under_photon_noise_is_the_estimate_without_samples(network, digits):
    """The covariance is that at the estimate, not at a draw."""
    degradation, y = measured(rgmkit.degradation("blur:std=1", noise=rgmkit.noise("poisson", photons=10)), digits[:1])
    pair, alone = (rgmkit.restore(y, degradation, network, samples=samples) for samples in (2, None))
    torch.testing.assert_close(pair.x, alone.x, rtol=0, atol=1e-5)


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
    solution = rgmkit.restore(photo, "blur:std=1,noise=0.05", "tikhonov", samples=3)
    assert solution.notes == ("ADMM draws nothing with this prior: the 3 samples are all the same",)
    assert float(solution.std.abs().max()) == 0 and torch.equal(solution.samples[2], solution.x)
    for wrong in (0, -2, 2.5, "4"):
        with pytest.raises(ConfigError, match=f"samples is {wrong!r}: give (1 or more|a whole number)"):
            rgmkit.restore(photo, "blur:noise=0.1", "tikhonov", samples=wrong)


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
