"""Proximal solvers and posterior sampling by deepinv: minima, steps, traces."""

from __future__ import annotations

import deepinv
import numpy as np
import pytest
import torch
from analytic import Diagonal
from pictures import uniform
from rgmkit_deepinv import pixelwise, posterior_sampling
from rgmkit_deepinv.terms import Fidelity, PriorTerm

import rgmkit
from rgmkit.core.degradation import Degradation
from rgmkit.core.random import Streams, seeded
from rgmkit.core.solver import Problem
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.solvers.measurement import fixed_point_std, relative_noise
from rgmkit.testing import checks, toys
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")
SHAPE = (2, 8, 12)
SOLVERS = ["pgd", "fista", "admm", "drs", "hqs"]


def restored(photo, spec, prior, **options):
    degradation = rgmkit.degradation(spec) if isinstance(spec, str) else spec
    y = degradation(photo, generator=seeded(1))
    before, solution = degradation.embed(y), rgmkit.restore(y, degradation, prior, **options)
    return float(psnr(before, photo).mean()), float(psnr(solution.x, photo).mean())


@pytest.mark.parametrize("check", checks("solver"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_conform(name, check):
    check(rgmkit.solver(name))


@pytest.mark.parametrize("check", checks("solver"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("spec", ["deepinv.DPIR", "deepinv.DiffPIR:iterations=15", "deepinv.DPS:iterations=30"])
def test_solvers_by_name_conform(spec, check):
    check(rgmkit.solver(spec))


def test_wrong_options_are_named():
    with pytest.raises(ConfigError, match="did you mean 'sym4'"):
        rgmkit.prior("wavelet", wavelet="symm4")
    with pytest.raises(ConfigError, match="not orthogonal"):
        rgmkit.prior("wavelet", wavelet="bior2.2")
    with pytest.raises(ConfigError, match="weight is -1"):
        rgmkit.prior("tv", weight=-1)
    with pytest.raises(ConfigError, match="step is 0"):
        rgmkit.solver("admm", step=0)
    with pytest.raises(IncompatibleError, match="images"):
        rgmkit.prior("tv").value(torch.zeros(3, 2))


def test_options_of_the_methods_are_checked():
    once = {"iterations": 1}
    refused = [(posterior_sampling.DPIR, once), (posterior_sampling.DiffPIR, {"zeta": 2.0})]
    for cls, options in [*refused, (posterior_sampling.DPS, once)]:
        with pytest.raises(ConfigError, match="give"):
            cls(**options)


@pytest.mark.parametrize("noise", [0.05, 0.005])
def test_dpir_is_that_of_deepinv_with_any_number_of_iterations(noise):
    degradation, prior = rgmkit.degradation("downsample:factor=2", noise=noise), rgmkit.prior("deepinv.MedianFilter")
    y = degradation(uniform(2, 1, 16, 16), generator=seeded(1))
    physics, start = degradation.to_deepinv((1, 16, 16)), degradation.initial_estimate(y)
    theirs = deepinv.optim.DPIR(sigma=noise, denoiser=prior.denoiser)(y, physics, init=start)
    assert torch.equal(rgmkit.restore(y, degradation, prior, solver="deepinv.DPIR").x, theirs)
    trace = rgmkit.restore(y, degradation, prior, solver="deepinv.DPIR:iterations=3").trace
    assert [row["sigma"] for row in trace] == pytest.approx([49 / 255, (noise * 49 / 255) ** 0.5, noise])


@pytest.mark.parametrize("name", ["pgd", "fista", "admm", "drs"])
@pytest.mark.parametrize("spec", ["blur:std=1,noise=0.1", "downsample:factor=2,noise=0.05"])
def test_solvers_reach_the_minimum(name, spec):
    degradation, prior = rgmkit.degradation(spec), pixelwise.Tikhonov(weight=20, center=0.4)
    y = degradation(uniform(3, *SHAPE, dtype=torch.float64), generator=seeded(1))
    exact = degradation.prox(torch.full((3, *SHAPE), 0.4, dtype=y.dtype), y, 1 / (20 * degradation.noise**2))
    solver = rgmkit.solver(name, iterations=3000, tolerance=1e-10)
    solution = solver.solve(Problem.from_measurement(y, degradation, prior))
    assert len(solution.trace) < 3000
    torch.testing.assert_close(solution.x, exact, rtol=0, atol=1e-6)


def follow_steps(monkeypatch, problem, solver):
    """Return the step of each iteration."""
    steps, prox = [], PriorTerm.prox
    with monkeypatch.context() as patch:
        patch.setattr(
            PriorTerm, "prox", lambda self, x, s, *, gamma: steps.append(gamma) or prox(self, x, s, gamma=gamma)
        )
        rgmkit.solver(solver).solve(problem, generator=seeded(0))
    return steps


# No noise, where `.02 / weight` counts; little, where the mean gain does; much, where `1 / noise` does.
@pytest.mark.parametrize("noise, weight", [(0.0, 5.0), (0.05, 300.0), (0.4, 300.0)])
def test_the_default_steps(monkeypatch, noise, weight):
    degradation = Diagonal(7 * torch.linspace(0, 1, 12).expand(SHAPE), noise=7 * noise)
    y = degradation(uniform(1, *SHAPE), generator=seeded(1))
    problem = Problem.from_measurement(y, degradation, pixelwise.Tikhonov(weight=weight))
    s = max(7 * noise / problem.scale.largest_gain**0.5, 1e-3)
    gain = problem.scale.largest_gain / problem.scale.mean_gain
    splitting = max(s**2 * min(gain, 1 / s), 0.02 / weight)
    expected = {
        "pgd": [1.8 * s**2] * 100, "fista": [0.99 * s**2] * 100, "admm": [splitting] * 50, "drs": [splitting] * 50,
        "hqs": np.geomspace(3 * splitting, splitting / 30, 50).tolist(),
    }  # fmt: skip
    for name, steps in expected.items():
        found = follow_steps(monkeypatch, problem, f"{name}:tolerance=0")
        assert found == pytest.approx(steps[: len(found)]) and (len(found) == len(steps) or noise)


def test_the_steps_of_tv_are_longer_where_the_operator_loses_more(monkeypatch):
    """`step weight` is at least .02 if nothing is lost, .1 if everything is."""
    for least in (0.0, 0.5, 1.0):
        degradation = Diagonal(torch.linspace(least, 1, 12).expand(SHAPE), noise=1e-3)
        y = degradation(uniform(1, *SHAPE), generator=seeded(1))
        problem = Problem.from_measurement(y, degradation, rgmkit.prior("tv:weight=5"))
        threshold = 0.02 + 0.08 * problem.scale.lost
        assert follow_steps(monkeypatch, problem, "admm:iterations=3")[0] == pytest.approx(threshold / 5)


def test_the_default_steps_with_a_network(monkeypatch):
    problem = toys.make_problem(toys.Restorer())
    std, s = fixed_point_std(problem), relative_noise(problem)
    splitting = s**2 * min(problem.scale.largest_gain / problem.scale.mean_gain, 1 / s)
    for name in ("admm", "drs"):
        assert follow_steps(monkeypatch, problem, f"{name}:tolerance=0") == pytest.approx([std**2] * 20)
    found = follow_steps(monkeypatch, problem, "hqs:tolerance=0")
    assert found == pytest.approx(np.geomspace(3 * splitting, splitting, 20).tolist())


def test_the_prox_of_the_fidelity_by_conjugate_gradients():
    """It is accurate to 1e-4 where 20 steps suffice, and takes fewer from its last result."""
    applied, d = [], torch.linspace(0, 1, 12, dtype=torch.float64).expand(SHAPE)

    class Counted(Degradation):
        def A(self, x):
            applied.append(1)
            return d * x

        def adjoint(self, y):
            return d * y

    y, x = uniform(2, *SHAPE, dtype=torch.float64), uniform(2, *SHAPE, seed=1, dtype=torch.float64)
    fidelity, counts = Fidelity(Counted(), y, 0.1), []
    for target in (x, x + 1e-4 * y):
        u, before = fidelity.prox(target, y, None, gamma=1.0), len(applied)
        b = target + 100 * d * y
        assert float((u + 100 * d**2 * u - b).norm() / b.norm()) <= 1.01e-4
        counts.append(before - sum(counts))
    assert counts[1] < counts[0] / 2 < 11


def test_hqs_with_a_fixed_step_ends_at_its_fixed_point():
    degradation, prior, step = rgmkit.degradation("blur:std=1,noise=0.1"), pixelwise.Tikhonov(weight=20), 0.02
    y = degradation(uniform(3, *SHAPE, dtype=torch.float64), generator=seeded(1))
    x = rgmkit.solver("hqs", step=step, tolerance=1e-12).solve(Problem.from_measurement(y, degradation, prior)).x
    torch.testing.assert_close(x, prior.prox(degradation.prox(x, y, step / 0.1**2), step), rtol=0, atol=1e-7)


@pytest.mark.slow
def test_tv_is_minimised_alike(photo):
    degradation, prior = rgmkit.degradation("blur:std=1,noise=0.05"), rgmkit.prior("tv:weight=5")
    y = degradation(photo, generator=seeded(1))

    def objective(x):
        return float(((degradation.A(x) - y) / 0.05).square().sum() / 2 + prior.value(x).sum())

    *values, nearly = [objective(rgmkit.restore(y, degradation, prior, solver=name).x) for name in SOLVERS]
    assert max(values) < 1.002 * min(values) and nearly < 1.01 * min(values), (values, nearly)


@pytest.mark.parametrize("spec", ["blur:std=1.5,noise=0.02", "downsample:factor=2,noise=0.002"])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_photograph_is_restored_without_tuning(photo, name, spec):
    before, after = restored(photo, spec, "tv", solver=name)
    assert after > before + (2 if "blur" in spec else 0.25)


def test_the_trace_of_pgd_has_the_residual_of_each_iterate(photo):
    """It is that of the gradient one step later, for images that have stopped, too."""
    degradation, seen = rgmkit.degradation("blur:std=1,noise=0.05"), []
    y = degradation(torch.cat([photo, 0 * photo + 0.5]), generator=seeded(1))
    applied = []
    A = degradation.A
    degradation.A = lambda x: applied.append(1) or A(x)
    trace = rgmkit.restore(
        y, degradation, "tv", solver="pgd:tolerance=1e-4,iterations=90,step=0.004",
        callback=lambda k, of, x: seen.append(float((A(x) - y).square().mean().sqrt())),
    ).trace  # fmt: skip
    assert [row["residual"] for row in trace] == pytest.approx(seen, rel=1e-5)
    assert len(applied) < len(trace) + 40 < 2 * len(trace)  # one for each step, and some for the scale of the problem


@pytest.mark.parametrize("name", ["admm", "drs"])
def test_what_is_missing_moves_without_noise_too(photo, name):
    degradation, prior = rgmkit.degradation("inpaint:keep=0.5,noise=0"), rgmkit.prior("tv:weight=150")
    y = degradation(photo)

    def objective(x):
        return float(((degradation.A(x) - y) / 1e-3).square().sum() / 2 + prior.value(x).sum())

    found = objective(rgmkit.restore(y, degradation, prior, solver=name).x)
    least = objective(rgmkit.restore(y, degradation, prior, solver="admm:iterations=300,tolerance=0").x)
    assert found < least + 0.1 * (objective(degradation.embed(y)) - least)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_network_is_a_prior_too(name):
    problem = toys.make_problem(toys.Restorer())
    solution = rgmkit.solver(name, iterations=7).solve(problem, generator=Streams(0, range(3)))
    again = rgmkit.solver(name, iterations=7).solve(problem, generator=Streams(0, range(3)))
    nfe = 14 if name in ("pgd", "fista", "hqs") else 7  # their steps are below level 1
    assert torch.equal(solution.x, again.x) and solution.nfe == nfe
    assert (solution.x - toys.draw_truth()).norm() < (problem.y - toys.draw_truth()).norm()


def test_steps_that_are_too_long_are_refused_with_the_remedy(photo):
    with pytest.raises(ConfigError, match="PGD diverged with step 1: give a smaller one"):
        restored(photo.double(), "gaussian-noise:noise=0.001", "tikhonov:weight=1e-9", solver="pgd:step=1,tolerance=0")
    with pytest.raises(IncompatibleError, match="measures nothing"):
        restored(photo, Dark(), "tv")


class Dark(rgmkit.Degradation):
    def A(self, x):
        return 0 * x


def test_it_stops_when_the_steps_get_small(photo):
    degradation, seen = rgmkit.degradation("gaussian-noise:noise=0.1"), []
    y = degradation(photo, generator=seeded(1))
    solution = rgmkit.restore(y, degradation, "tv", solver="pgd", callback=lambda *call: seen.append(call[:2]))
    trace = solution.trace
    assert seen == [(k + 1, 100) for k in range(len(trace))] and len(trace) < 100
    assert trace[-1]["change"] <= 1e-4 < trace[-2]["change"]
    assert trace[-1]["residual"] == pytest.approx(float((solution.x - y).square().mean().sqrt()), rel=1e-5)


@pytest.fixture(scope="module")
def digits():
    return Digits(split="held-out").images[:24]


@pytest.fixture(scope="module")
def model():
    return rgmkit.load("digits")


def quality(x, truth):
    return float(psnr(x.detach().clamp(0, 1).float(), truth).mean())


@pytest.mark.parametrize("solver", ["deepinv.DPIR", "deepinv.DiffPIR", "deepinv.DPS:iterations=20"])
@pytest.mark.slow
def test_a_model_restores_by_deepinvs_methods(digits, model, solver):
    degradation, seen = rgmkit.degradation("blur:std=1,noise=0.05"), []
    y, truth = degradation(digits[:2], generator=seeded(1)), digits[:2]
    solution = rgmkit.restore(y, degradation, model, solver=solver, callback=lambda *call: seen.append(call[:2]))
    assert quality(solution.x, truth) > quality(y, truth) + 2.5
    assert seen == [(k + 1, seen[0][1]) for k in range(seen[0][1])] and solution.nfe >= len(seen)
    again = rgmkit.restore(y, degradation, model, solver=solver)
    other = rgmkit.restore(y[:1], degradation, model, solver=solver, seed=1)
    assert torch.equal(solution.x, again.x) and not torch.equal(solution.x[:1], other.x)
    assert solution.trace[-1]["residual"] < 0.1 and solution.trace[0]["sigma"] > solution.trace[-1]["sigma"]
