"""Solvers: their defaults, when they stop, and what they report."""

from __future__ import annotations

import itertools
import json
import warnings

import numpy as np
import pytest
import torch
from analytic import GaussianRestorer

import rgmkit
from rgmkit.cli.app import cli
from rgmkit.core.accuracy import collect_shortfalls
from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import conjugate_gradients
from rgmkit.core.random import Streams, seeded
from rgmkit.errors import AccuracyWarning, IncompatibleError
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")


HELD_OUT = 32


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


def test_without_a_prior_the_pseudo_inverse_answers():
    y = torch.rand(2, 1, 6, 5, generator=seeded(0), dtype=torch.float64)
    solution = rgmkit.restore(y, "downsample:factor=2")  # too small for an estimate: it counts with no noise
    assert torch.equal(solution.x, y.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert solution.nfe == 0 and solution.trace[0]["residual"] < 1e-12 and solution.notes == ()
    with pytest.raises(IncompatibleError, match=r"PGD needs a prior with prox, and there is none: give a prior"):
        rgmkit.restore(y, "downsample:factor=2,noise=0.1", solver="pgd")


def test_a_run_warns_once_of_a_prox_that_stopped_early():
    y = torch.rand(2, 1, 4, 400, generator=seeded(0), dtype=torch.float64)
    prior, solver = GaussianRestorer((1, 4, 400)), "pnp-drs:iterations=3,levels=1"
    with pytest.warns(AccuracyWarning, match=r"Steep.prox stopped early 2 times: relative residual up to \d") as seen:
        solution = rgmkit.restore(y, Steep(noise=1e-5), prior, solver=solver)
    assert len(seen) == 1 and solution.notes == (str(seen[0].message),)
    with pytest.warns(AccuracyWarning, match=r"Steep.prox stopped early once: relative residual up to \d"):
        rgmkit.restore(y, Steep(noise=1e-5), prior, solver="pnp-drs:iterations=3")
    with collect_shortfalls() as shortfalls, warnings.catch_warnings():
        warnings.simplefilter("error")
        Steep().pinv(y)
    assert {method: len(reports) for method, reports in shortfalls.items()} == {"Steep.pinv": 1}


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


def test_the_batch_size_changes_rounding_only(network):
    found = [rgmkit.generate(network, 9, seed=3, batch=batch) for batch in (1, 7, 9)]
    assert torch.equal(found[0], rgmkit.generate(network, 9, seed=3, batch=1))
    for x in found[:2]:
        torch.testing.assert_close(x, found[2], rtol=0, atol=1e-4)


def test_pnp_drs_needs_one_evaluation_where_nothing_is_lost(network, digits):
    degradation, y = measured("gaussian-noise:noise=0.2", digits)  # the noise of level 1
    solution = rgmkit.restore(y, degradation, network, solver="pnp-drs")
    one_shot = rgmkit.restore(y, degradation, network, solver="one-shot")
    assert solution.nfe == 1 and torch.equal(solution.x, one_shot.x)
    for same in ("blur:std=0.05,noise=0.2", degradation):  # a blur that is the identity up to rounding
        short = rgmkit.restore(y, same, network, solver="pnp-drs:alpha=0.2")
        assert short.nfe == 1 and torch.allclose(short.x, one_shot.x, atol=1e-3)
    by_levels = rgmkit.restore(y, degradation, network, solver="pnp-drs:levels=2,iterations=3,alpha=0.2")
    assert by_levels.nfe == 6 and psnr(by_levels.x, digits).mean() > psnr(y, digits).mean()


@pytest.mark.parametrize("solver", ["cascade", "one-shot", "back-projection", "pnp-drs"])
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
    "gaussian-noise:noise=0.25": {"cascade": 22.5, "pnp-drs": 22.5, "admm": 22.5},
    "blur:std=1.5,noise=0.05": {"cascade": 24, "pnp-drs": 25.3, "admm": 25.2},
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


def test_the_command_line_needs_no_prior(noisy, tmp_path, capsys):
    args = ["restore", str(noisy), "-d", "downsample:factor=2", "-o", str(tmp_path / "x.npy"), "--json"]
    cli(args, standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["prior"] is None
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[::2, ::2], np.load(noisy))


RULES = [(True, 4, None), (True, 4, 1.0)]

RULES += [pytest.param(False, 1000, eta, marks=pytest.mark.slow) for eta in (1.0, 0.0)]


@pytest.mark.parametrize("sample, levels, eta", RULES)
def test_generated_law(sample, levels, eta):
    """Draws of the posterior give the law of the data in four levels, means in many (.10 with new noise at each)."""
    prior = GaussianRestorer((1, 8, 8), sample=sample, levels=levels)
    x = 2 * rgmkit.generate(prior, 200, solver={"use": "cascade", "eta": eta}) - 1
    assert abs(float(x.mean()) - 0.1) < 0.01 and abs(float(x.std()) / 0.15 - 1) < 0.05
