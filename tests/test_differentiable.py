"""Gradients through restore, against finite differences in float64."""

from __future__ import annotations

import pytest
import torch
from pictures import CAMERA, normal, uniform
from torch.nn.functional import conv2d, pad

import rgmkit
from rgmkit.core import degradation as degradations
from rgmkit.core import iterated_prox, solver
from rgmkit.core.linear import conjugate_gradients
from rgmkit.core.random import seeded
from rgmkit.errors import IncompatibleError
from rgmkit.testing import toys

X = CAMERA[..., 100:116, 200:216].double()


class Blur(rgmkit.Degradation):
    """A Gaussian blur whose std is a parameter; prox and pinv take conjugate gradients."""

    def __init__(self, *, std=1.0, noise=0.05):
        super().__init__(noise=noise)
        self.std = torch.nn.Parameter(torch.tensor(std, dtype=torch.float64))

    def A(self, x):
        taps = torch.exp(-(torch.arange(-3, 4, dtype=x.dtype) ** 2) / (2 * self.std.to(x.dtype) ** 2))
        kernel = torch.outer(taps, taps) / taps.sum() ** 2
        return conv2d(pad(x, (3, 3, 3, 3), mode="circular"), kernel[None, None])


class Saturating(Blur):
    linear = False

    def A(self, x):
        return 1 - torch.exp(-super().A(x))


@pytest.fixture
def exact(monkeypatch):
    """Solve linear equations exactly, and hold constant what is determined beforehand."""
    monkeypatch.setattr(iterated_prox, "RTOL", 1e-12)
    monkeypatch.setattr(iterated_prox, "MAX_STEPS", 400)
    monkeypatch.setattr(degradations, "RTOL", 1e-12)
    found, measure = [], solver.measure_scale
    monkeypatch.setattr(
        solver, "measure_scale", lambda *a: found[0] if found else found.append(measure(*a)) or found[0]
    )


def slopes(operator, prior, method, *, step=1e-6):
    """Return the derivatives along a change of y and of the std, by autograd and by differences."""
    y = operator(X, generator=seeded(0)).detach().requires_grad_()
    v, w = normal(*y.shape), uniform(*X.shape, seed=1, dtype=torch.float64)

    def f(y, std):
        operator.std.data = std
        return (rgmkit.restore(y, operator, prior, solver=method, differentiable=True).x * w).sum()

    std = operator.std.detach().clone()
    by_y, by_std = torch.autograd.grad(f(y, std), [y, operator.std])
    with torch.no_grad():
        differences = [f(y + step * v, std) - f(y - step * v, std), f(y, std + step) - f(y, std - step)]
    return [float((by_y * v).sum()), float(by_std)], [float(d) / (2 * step) for d in differences]


@pytest.mark.parametrize(
    ("prior", "method"),
    [
        ("tv", "admm:iterations=6"),
        ("deepinv.TVL1", "admm:iterations=4"),
        ("tikhonov", "admm:iterations=6"),
        ("tikhonov", "fista:iterations=6"),
        (None, None),
        ("digits", "cascade"),
        ("digits", "one-shot"),
        ("digits", "back-projection:eta=0.2"),
        ("digits", "pnp-drs:iterations=3"),
        pytest.param("digits", None, marks=pytest.mark.slow),
        pytest.param("tv", None, marks=pytest.mark.slow),
    ],
)
def test_gradients_of_the_measurement_and_the_operator(exact, prior, method):
    if prior == "digits":
        prior = rgmkit.load("digits").double()
    found, expected = slopes(Blur(), prior, method)
    assert found == pytest.approx(expected, rel=5e-3)


def test_gradients_of_an_operator_that_is_not_linear(exact):
    method = {"use": "gauss-newton", "solver": {"use": "admm", "iterations": 30}, "iterations": 4}
    found, expected = slopes(Saturating(), "tikhonov:weight=20", method)
    assert found == pytest.approx(expected, rel=0.2)  # one step is differentiated


def test_the_same_estimate_with_and_without_gradients():
    operator = Blur()
    y = operator(X, generator=seeded(0)).float()
    for prior in ("tv", "digits"):
        without = rgmkit.restore(y.detach().requires_grad_(), operator, prior)
        assert not without.x.requires_grad
        solution = rgmkit.restore(y.detach(), operator, prior, differentiable=True)
        assert torch.equal(solution.x, without.x) and solution.nfe == without.nfe
        assert solution.x.requires_grad  # by the std
        with torch.no_grad():
            assert not rgmkit.restore(y, operator, prior, differentiable=True).x.requires_grad


def test_the_operator_learns_from_a_measurement_without_gradient():
    operator, found = Blur(), []
    y = operator(X, generator=seeded(0)).detach()
    for measurement in (y, y.clone().requires_grad_()):
        x = rgmkit.restore(measurement, operator, "tikhonov", solver="admm:iterations=3", differentiable=True).x
        found.append(torch.autograd.grad(x.square().sum(), operator.std)[0])
    assert torch.equal(*found) and float(found[0].abs()) > 0


def test_conjugate_gradients_are_differentiated_once():
    matrix = (torch.eye(4, dtype=torch.float64) + 0.1 * normal(4, 4)).requires_grad_()
    b = normal(1, 4).requires_grad_()

    def solve(matrix, b):
        return conjugate_gradients(lambda x: x @ matrix.T @ matrix, b, rtol=1e-13, max_steps=50).x

    def solve_from_the_solution(matrix, b):
        return conjugate_gradients(lambda x: x @ matrix.T @ matrix, b, x0=solve(matrix, b), rtol=1e-9).x

    assert torch.autograd.gradcheck(solve, (matrix, b))
    assert torch.autograd.gradcheck(solve_from_the_solution, (matrix, b))
    weight = normal(1, 4).requires_grad_()
    (gradient,) = torch.autograd.grad((weight * solve(matrix, b)).sum(), b, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


class Opaque(toys.Grey):
    differentiable = False


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": X[0, 0].numpy()}, "y is a ndarray, through which no gradient flows"),
        ({"y": (255 * X).byte()}, "y is a tensor of torch.uint8"),
        ({"samples": 2, "prior": "digits"}, "samples are drawn without gradients"),
        ({"solver": "deepinv.DPS", "prior": "digits"}, "the solver DPS is not differentiable"),
        ({"prior": Opaque()}, "the prior Opaque is not differentiable"),
        ({"prior": Opaque(), "solver": "gauss-newton"}, "the prior Opaque is not differentiable"),
    ],
)
def test_what_has_no_gradient_is_refused(change, words):
    arguments = {"y": X, "degradation": Blur(), "prior": "tv"} | change
    with pytest.raises(IncompatibleError, match=words):
        rgmkit.restore(**arguments, differentiable=True)
