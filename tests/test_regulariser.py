"""The adversarial regulariser and gradient descent: the loss, the weight, the minimum, the model folder."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from rgmkit_objectives.adversarial_regulariser import AdversarialRegulariser
from rgmkit_objectives.regulariser import Regulariser

import rgmkit
from rgmkit.core.random import seeded
from rgmkit.core.solver import Problem
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.solvers.gauss_newton import choose_linear_solver
from rgmkit.solvers.gradient_descent import GradientDescent
from rgmkit.testing import checks, toys
from rgmkit.training.data.digits import Digits

BLUR = "blur:std=1.5,boundary=circular,noise=0.05"


class Bowl(torch.nn.Module):
    """D(x, t) = -sum of sqrt(1 + (c x)^2) over the pixels: smooth, with a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.c = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x, t):
        return -(1 + (self.c * x).square()).sqrt().flatten(1).sum(1)


def bowl(**options) -> Regulariser:
    return Regulariser(network=Bowl(), image_shape=toys.SHAPE, **options)


@pytest.mark.parametrize("check", checks("solver"), ids=lambda check: check.__name__)
def test_gradient_descent_conforms(check):
    check(GradientDescent())


@pytest.mark.parametrize("check", checks("prior"), ids=lambda check: check.__name__)
def test_a_regulariser_conforms(check):
    check(bowl(weight=3.0), toys.SHAPE)


def test_gradient_descent_finds_the_minimum():
    """Quadratic: `(A^T A / noise^2 + 1 / STD^2) x = A^T y / noise^2 + 1/2 / STD^2`."""
    problem = toys.make_problem(toys.Grey())
    problem = problem.with_measurement(problem.y.double())
    n = problem.y[0].numel()
    A = problem.degradation.A(torch.eye(n, dtype=torch.float64).reshape(n, *toys.SHAPE)).reshape(n, n).T
    variance = problem.degradation.noise**2
    left = A.T @ A / variance + torch.eye(n) / toys.STD**2
    right = problem.y.flatten(1) @ A / variance + 0.5 / toys.STD**2
    expected = torch.linalg.solve(left, right.T).T.reshape(problem.y.shape)
    solution = GradientDescent(tolerance=1e-9).solve(problem)
    torch.testing.assert_close(solution.x, expected, rtol=1e-6, atol=1e-6)
    assert len(solution.trace) < 20 and not solution.notes and solution.nfe == 0  # the prior has no network


def test_gradient_descent_never_climbs_and_says_when_it_stops_early():
    """A steep prior: the first step, that of the fidelity alone, would overshoot."""
    prior = bowl(weight=1e4, center=0.2)
    problem = toys.make_problem(prior)
    problem = problem.with_measurement(problem.y.double())
    values = []

    def follow(k, count, x):
        error = problem.degradation.A(x) - problem.y
        values.append(error.square().flatten(1).sum(1) / (2 * problem.degradation.noise**2) + prior.value(x))

    solution = GradientDescent(iterations=3).solve(problem, callback=follow)
    assert all((after <= before).all() for before, after in pairwise(values))
    assert "not converged after 3 iterations" in solution.notes[0]


def test_the_default_weight_is_the_gradient_of_the_fidelity_at_the_true_image():
    degradation, x = rgmkit.degradation(BLUR), torch.rand(200, 1, 16, 16, generator=seeded(0))
    y = degradation(x, generator=seeded(1))
    gradient = degradation.adjoint(degradation.A(x) - y) / 0.05**2
    prior = Regulariser(network=Bowl(), image_shape=(1, 16, 16))
    weighted = prior.with_default_weight(Problem.from_measurement(y, degradation, prior))
    assert weighted.weight == pytest.approx(float(gradient.flatten(1).norm(dim=1).mean()), rel=0.2)
    assert prior.weight is None
    larger = rgmkit.degradation(BLUR)(torch.zeros(1, 1, 32, 32), generator=seeded(0))
    problem = Problem.from_measurement(larger, degradation, prior)
    assert prior.with_default_weight(problem).weight == pytest.approx(weighted.weight, rel=0.2)
    assert bowl(weight=2.0).with_default_weight(problem).weight == 2


def test_the_loss_compares_images_with_reconstructions_of_others():
    """h(x) = |x|^2 / 2, whose gradient is x, and A the identity: `v = x' + n`."""

    class Square(torch.nn.Module):
        def forward(self, x, t):
            return -x.square().flatten(1).sum(1) / 2

    prior = Regulariser(network=Square(), image_shape=(1, 3, 4), center=0.0, scale=1.0)
    degradation = rgmkit.degradation("gaussian-noise:noise=0.1")
    x, generator = torch.rand(5, 1, 3, 4, generator=seeded(1)).double(), seeded(2)
    v = degradation(x.roll(1, 0), generator=generator)
    u = torch.special.ndtr(torch.randn(5, 1, 1, 1, generator=generator, dtype=torch.float64))
    penalty = ((u * x + (1 - u) * v).flatten(1).norm(dim=1) - 1).clamp(min=0).square().mean()
    expected = (x.square() - v.square()).flatten(1).sum(1).mean() / 2 + 7 * penalty
    objective = AdversarialRegulariser(degradation=degradation, mu=7.0, gamma=1e9)
    torch.testing.assert_close(objective.prior_loss(prior, x, generator=seeded(2)), expected)
    assert penalty > 0


CONFIG = {
    "data": "digits", "process": "gaussian:levels=1", "network": {"use": "unet-discriminator", "width": 8},
    "objective": {"use": "adversarial-regulariser", "degradation": BLUR, "gamma": 400},
    "training": {
        "steps": 12, "batch": 16, "lr": 5e-3, "threads": 1, "accumulate": 2, "ema": 0.5, "checkpoint_every": 6,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return rgmkit.train(CONFIG, out=tmp_path_factory.mktemp("runs") / "regulariser", progress=False)


def test_a_trained_one_is_a_prior_of_a_model_folder(folder):
    prior = rgmkit.load(folder)
    assert isinstance(prior, Regulariser) and prior.image_shape == (1, 16, 16)
    assert {path.name for path in folder.iterdir()} >= {"config.yaml", "model.safetensors", "README.md", "losses.png"}
    assert "a regulariser" in (folder / "README.md").read_text() and not (folder / "samples").exists()
    degradation = rgmkit.degradation(BLUR)
    x = Digits(split="held-out").images[:8]
    y = degradation(x, generator=seeded(0))
    naive = degradation.prox(degradation.initial_estimate(y), y, 400.0)
    with torch.no_grad():
        assert prior.value(naive).mean() > prior.value(x).mean() + 0.1
    assert isinstance(choose_linear_solver(prior), GradientDescent)
    solver = "gradient-descent:iterations=10"
    solution, weaker = (rgmkit.restore(y, degradation, p, solver=solver) for p in (prior, f"{folder}:weight=0.5"))
    assert prior.value(solution.x).mean() < prior.value(weaker.x).mean()
    assert solution.nfe >= 1 + 3 * len(solution.trace)  # the gradient, and two values, in each iteration
    assert weaker.trace[-1]["residual"] < solution.trace[-1]["residual"]
    assert rgmkit.load(folder, dtype="bf16").value(x).dtype == torch.float32


def test_it_generates_nothing_and_says_so(folder):
    with pytest.raises(IncompatibleError, match=r"Regulariser generates no images.*give a generative model"):
        rgmkit.generate(folder, 2)


def test_a_network_has_no_weight():
    with pytest.raises(ConfigError, match="weight is 3, and digits is not a regulariser"):
        rgmkit.load("digits", weight=3)


def test_an_interrupted_run_goes_on_to_the_same_weights(folder, tmp_path):
    whole = rgmkit.train(CONFIG, out=tmp_path / "run", progress=False)
    for name in ("model.safetensors", "README.md", "config.yaml", "checkpoints/step-00000012.pt"):
        (whole / name).unlink()
    rgmkit.train(CONFIG, out=whole, resume=True, progress=False)
    assert (whole / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_gradients_flow_through_gradient_descent():
    prior = bowl(weight=2.0)
    y = torch.rand(1, *toys.SHAPE, generator=seeded(0)).double().requires_grad_()
    x = rgmkit.restore(y, toys.Soften(), prior, solver="gradient-descent:iterations=3", differentiable=True).x
    (slope,) = torch.autograd.grad(x.sum(), y)
    assert slope.abs().sum() > 0
