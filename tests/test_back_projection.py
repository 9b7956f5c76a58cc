"""back-projection: its equations, its limit for a Gaussian prior, its draws, and any linear operator."""

from __future__ import annotations

import math

import pytest
import torch
from analytic import Diagonal, GaussianRestorer
from pictures import CAMERA
from test_any_operator import Columns, Gain, Illumination, Signs, Three
from test_solver_equations import CASES, SHAPE, follow, last_std, make_case, make_gains, make_restorer, measure, raised

import rgmkit
from rgmkit.core.random import seeded
from rgmkit.core.solver import Problem
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.solvers.measurement import fixed_point_std, largest_residual, residuals

psnr = rgmkit.metric("psnr")
OPERATORS = {"x -.4": Gain, "signs": Signs, "columns": Columns, "three": Three, "illumination": Illumination}


@pytest.fixture
def continuous(monkeypatch):
    monkeypatch.setattr(GaussianRestorer, "continuous", True)


@pytest.mark.parametrize("name", CASES)
def test_the_stds_fall_in_equal_ratios_to_that_of_pnp_drs(name, continuous):
    problem = make_case(name)
    q, (_, stds, solution) = measure(problem), follow(problem, "back-projection")
    last = last_std(q) if q.lost else q.s
    first = max(last, math.hypot(q.s, q.lost**0.5 * 0.2))
    n = len(stds)
    assert stds == pytest.approx([first * (last / first) ** (k / max(1, n - 1)) for k in range(n)], rel=1e-5)
    assert solution.nfe == sum(map(problem.prior.evaluations, stds)) <= 4 or n == 1
    assert n == 1 or n == 4 or stds[-1] < q.level_1  # where the estimate is mixed, in two evaluations


@pytest.mark.parametrize("options", [{}, {"weight": 0.6, "kept": 0.5}, {"eta": 0.3}], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_iterates(name, options, continuous):
    problem = make_case(name)
    fixed_point_std(problem)  # may take a prox of its own, once
    gammas, prox = [], problem.degradation.prox
    problem.degradation.prox = lambda z, y, gamma: gammas.append(gamma) or prox(z, y, gamma)
    given = ",".join(f"{name}={value}" for name, value in options.items())
    estimates, stds, solution = follow(problem, f"back-projection:{given}" if given else "back-projection")
    q, degradation, prior, generator = measure(problem), problem.degradation, problem.prior, seeded(0)
    y, factor, eta = problem.y, options.get("weight", 1.15), options.get("eta", 0)

    def draw(std):
        return eta * std * torch.randn(x.shape, generator=generator) if eta else 0

    weights = [factor / raised(q) ** 0.5 * (std / q.noise) ** 2 for std in stds]
    assert gammas[: len(stds)] == pytest.approx([weights[0], *weights[:-1]] if q.lost else [])
    x = degradation.initial_estimate(y)
    x = degradation.prox(x, y, weights[0]) + draw(stds[0]) if q.lost else x
    for k, (std, after) in enumerate(zip(stds, [*stds[1:], None], strict=True)):
        u = prior.denoise(x, std)
        torch.testing.assert_close(estimates[k], u, rtol=1e-4, atol=1e-5)
        if after:
            kept = options.get("kept", 0.9) * math.sqrt(1 - eta**2)
            x = degradation.prox(2 * u - x, y, weights[k]) + after * kept * (x - u) / std + draw(after)
    if float(residuals(u, problem)) <= largest_residual(problem):
        assert torch.equal(solution.x, estimates[-1])
    else:
        assert float(residuals(solution.x, problem)) < float(residuals(u, problem))


def test_a_network_is_evaluated_at_its_levels():
    problem = make_case("half lost, no noise")
    levels, (_, stds, solution) = problem.prior.level_stds.tolist(), follow(problem, "back-projection")
    assert all(min(abs(std - level) for level in levels) < 1e-6 for std in stds[:-1])
    assert 1 < solution.nfe <= 4


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_with_the_exact_denoiser_it_tends_to_the_posterior_mean(noise, continuous):
    """For a Gaussian prior, with the weight of the fidelity, if all of the noise is kept."""
    prior = make_restorer(0.005).double()
    degradation = Diagonal(3 * make_gains(0.6, least=0.3).double(), noise=3 * noise)
    x = 0.55 + 0.075 * torch.randn(1, *SHAPE, generator=seeded(1), dtype=torch.float64)
    problem = Problem.from_measurement(degradation(x, generator=seeded(2)), degradation, prior)
    precision = 1 / 0.075**2 + (degradation.d / degradation.noise) ** 2
    exact = (0.55 / 0.075**2 + degradation.d * problem.y / degradation.noise**2) / precision
    estimates, _, _ = follow(problem, "back-projection:evaluations=400,weight=1,kept=1")
    errors = [float((estimate - exact).abs().max()) for estimate in estimates]
    assert errors[-1] < 2e-3 < 0.1 * errors[0]


def test_draws_depend_on_the_seed_alone():
    problem = make_case("half lost")
    plain, random, again = (follow(problem, f"back-projection:eta={eta}")[2].x for eta in (0, 0.4, 0.4))
    other = rgmkit.solver("back-projection:eta=0.4").solve(problem, generator=seeded(1)).x
    assert torch.equal(random, again) and not torch.equal(random, other) and not torch.equal(random, plain)
    assert torch.equal(plain, rgmkit.solver("back-projection").solve(problem, generator=seeded(1)).x)
    solver, options = "back-projection:eta=0.4", {"prior": problem.prior, "samples": 3}
    drawn = rgmkit.restore(problem.y, problem.degradation, solver=solver, **options)
    assert float(drawn.std.min()) > 0 and drawn.nfe == 3 * follow(problem, solver)[2].nfe


@pytest.mark.parametrize("name", OPERATORS)
def test_any_linear_operator(name):
    x = CAMERA[..., 96:144, 192:240]
    degradation = OPERATORS[name](noise=0.02)
    y = degradation(x, generator=rgmkit.Streams(0, [0]))
    solution = rgmkit.restore(y, degradation, "photographs", solver="back-projection")
    other = rgmkit.restore(y, degradation, "photographs", solver="cascade:evaluations=4")
    assert solution.nfe <= 4 and set(solution.trace[0]) == {"sigma", "residual", "change"}
    assert float(psnr(solution.x, x)) > float(psnr(other.x, x)) - 0.2


@pytest.mark.parametrize("options", ["evaluations=0", "weight=0", "weight=.inf", "kept=1.1", "eta=-0.1", "eta=.nan"])
def test_options_out_of_range(options):
    with pytest.raises(ConfigError, match="give"):
        rgmkit.solver(f"back-projection:{options}")


def test_what_it_needs():
    y = torch.zeros(1, 1, 8, 8)
    with pytest.raises(IncompatibleError, match="needs a prior with restore"):
        rgmkit.restore(y, "gaussian-noise:noise=0.1", "tv", solver="back-projection")
    with pytest.raises(IncompatibleError, match="needs a linear degradation"):
        rgmkit.restore(y, "jpeg:quality=10", "digits", solver="back-projection")
