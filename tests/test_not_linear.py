"""Operators that are not linear: the linear approximation, the start, and Gauss-Newton."""

from __future__ import annotations

import math

import pytest
import torch
from analytic import GaussianRestorer
from pictures import CAMERA, normal, uniform
from torch.func import jvp, vjp

import rgmkit
from rgmkit.core.linear import dot
from rgmkit.core.linearised import Linearised
from rgmkit.core.random import seeded
from rgmkit.core.solver import Problem
from rgmkit.core.whitened import Whitened
from rgmkit.errors import IncompatibleError
from rgmkit.solvers.measurement import noise_of
from rgmkit.testing import toys


class Saturating(rgmkit.Degradation):
    """A sensor whose response flattens."""

    linear = False

    def A(self, x):
        return 1 - torch.exp(-2.5 * x)


class Mixed(rgmkit.Degradation):
    """Every output depends on two pixels; a quarter of the size."""

    linear = False

    def A(self, x):
        return (x * x.roll(1, -1) + torch.sin(x))[..., ::2, ::2]

    def image_shape(self, y_shape):
        return (*y_shape[:2], 2 * y_shape[2], 2 * y_shape[3])

    def embed(self, y):
        return y.repeat_interleave(2, -1).repeat_interleave(2, -2)


class Steep(rgmkit.Degradation):
    """Whole Gauss-Newton steps from .8 jump between 0 and 1 for ever."""

    linear = False

    def A(self, x):
        return torch.atan(20 * (x - 0.5))

    def initial_estimate(self, y):
        return torch.full_like(y, 0.8)


class Frozen(Saturating):
    def A(self, x):
        return super().A(x).detach()


def psnr(a, b):
    return -10 * math.log10(float((a - b).square().mean()))


def test_linearised():
    x, d = uniform(2, 3, 6, 8, dtype=torch.float64), uniform(2, 3, 6, 8, seed=1, dtype=torch.float64)
    w = uniform(2, 3, 3, 4, seed=2, dtype=torch.float64)
    linear = Linearised(Mixed(noise=0.1), x)
    y, Jd = jvp(Mixed().A, (x,), (d,))
    assert torch.allclose(linear.A(d), Jd) and torch.allclose(linear.adjoint(w), vjp(Mixed().A, x)[1](w)[0])
    assert torch.allclose(dot(linear.A(d), w), dot(d, linear.adjoint(w)))
    assert torch.allclose(linear.A(x) - linear.shift(w), y - w)  # the approximation is exact at x
    assert linear.noise == 0.1 and linear.image_shape(tuple(w.shape)) == tuple(x.shape)


@pytest.mark.parametrize(("prior", "gain"), [("tv", 2.0), ("photographs", 4.0)])
def test_a_saturating_sensor(prior, gain):
    x, sensor = CAMERA[..., 100:164, 200:264], Saturating(noise=0.02)
    y = sensor(x, generator=seeded(0))
    solution = rgmkit.restore(y, sensor, prior)
    assert psnr(solution.x, x) > psnr(sensor.initial_estimate(y), x) + gain > psnr(y, x) + 10
    assert 0.01 < solution.trace[-1]["residual"] < 0.022 and solution.notes == ()


def test_a_linear_operator_declared_otherwise_is_restored_as_such():
    class Half(rgmkit.Degradation):
        def A(self, x):
            return x / 2

    class Otherwise(Half):
        linear = False

    y = Half(noise=0.05)(CAMERA[..., 100:132, 200:232], generator=seeded(0))
    expected = rgmkit.restore(y, Half(noise=0.05), "tv").x.clamp(0, 1)
    assert torch.allclose(rgmkit.restore(y, Otherwise(noise=0.05), "tv").x, expected, atol=0.01)


def test_steps_are_halved():
    y = torch.zeros(1, 1, 2, 2)
    solution = rgmkit.restore(y, Steep(noise=0.01), toys.Grey())
    assert torch.allclose(solution.x, torch.full_like(y, 0.5), atol=0.01) and solution.notes == ()


def test_what_did_not_converge_is_noted():
    y = Saturating()(uniform(2, 1, 4, 4))
    for tolerance, noted in ((0.0, True), (1.0, False)):
        solver = {"use": "gauss-newton", "iterations": 2, "tolerance": tolerance}
        solution = rgmkit.restore(y, Saturating(noise=0.1), toys.Grey(), solver=solver)
        assert len(solution.trace) == (2 if noted else 1)
        assert any("not converged after 2 linearisations" in note for note in solution.notes) == noted


def test_the_evaluations_of_all_iterations_are_counted():
    prior = GaussianRestorer((1, 4, 6))
    solver = {"use": "gauss-newton", "solver": "one-shot", "iterations": 3, "tolerance": 0}
    solution = rgmkit.restore(Saturating()(uniform(1, 1, 4, 6)), Saturating(noise=0.1), prior, solver=solver)
    assert solution.nfe == len(prior.calls) > 2


def test_an_operator_without_gradient_is_refused():
    with pytest.raises(IncompatibleError, match=r"Frozen\.A cannot be differentiated"):
        rgmkit.restore(torch.rand(1, 1, 8, 8), Frozen(noise=0.1), "tv", solver="gauss-newton")
    with pytest.raises(IncompatibleError, match="Saturating is not: use gauss-newton"):
        rgmkit.restore(torch.rand(1, 1, 8, 8), Saturating(noise=0.1), "tv", solver="admm")


def test_gauss_newton_finds_the_minimum():
    std = 0.05 + 0.1 * uniform(1, 3, 4, dtype=torch.float64)
    operator = Mixed(noise=rgmkit.noise("per-pixel", std=std))
    truth = 0.5 + toys.STD * normal(1, 1, 6, 8)
    y = operator(truth, generator=seeded(0))
    admm = {"use": "admm", "tolerance": 1e-8, "iterations": 500}
    solver = {"use": "gauss-newton", "solver": admm, "tolerance": 1e-6, "iterations": 30}
    x = rgmkit.restore(y, operator, toys.Grey(), solver=solver).x
    slope = x.clone().requires_grad_()
    objective = ((operator.A(slope) - y) / std).square().sum() / 2 + toys.Grey().value(slope).sum()
    (gradient,) = torch.autograd.grad(objective, slope)
    assert float(gradient.abs().max()) < 1e-2 * float(((x - 0.5) / toys.STD**2).abs().max())


def test_wrapped_operators_tell_whether_they_can_be_linearised():
    jpeg, blur = rgmkit.degradation("jpeg"), rgmkit.degradation("blur:std=1")
    for inside, expected in ((Saturating(), True), (jpeg, False)):
        wrapped = [
            rgmkit.degradation("compose", of=[blur, inside]),
            inside if inside is jpeg else inside.at(0.5),
            Whitened(inside, rgmkit.noise("per-channel", std=[0.1]), torch.zeros(1, 1, 8, 8)),
        ]
        assert [(operator.linear, operator.linearisable) for operator in wrapped] == [(False, expected)] * 3


class Black(rgmkit.Degradation):
    """Not defined below 0."""

    linear = False

    def A(self, x):
        return x**0.7 + 1e-3 * x.log().clamp(min=-9)


def test_draws_stay_where_the_operator_is_defined():
    y = Black(noise=0.1)(uniform(1, 1, 16, 16), generator=seeded(0))
    solution = rgmkit.restore(y, Black(noise=0.1), "digits", samples=2)
    assert bool(solution.samples.isfinite().all()) and float(solution.std.max()) > 0


def test_rows_of_differing_size_count_as_noise_of_differing_std():
    class Dimmed(rgmkit.Degradation):
        def A(self, x):
            return x * torch.linspace(2.0, 0.2, x.shape[-1])

    x, noise = CAMERA[..., 100:164, 200:264], 0.02
    y = Dimmed(noise=noise)(x, generator=seeded(0))

    class Otherwise(Dimmed):
        linear = False

    found = rgmkit.restore(y, Otherwise(noise=noise), "tv")
    assert psnr(found.x, x) > psnr(rgmkit.restore(y, Dimmed(noise=noise), "tv").x, x) + 0.1


def test_dead_pixels_of_a_sensor_that_saturates():
    x, std = CAMERA[..., 100:148, 200:248], torch.full((48, 48), 0.03)
    std[::7, ::5] = torch.inf
    noise = rgmkit.noise("per-pixel", std=std)
    y, sensor = Saturating(noise=0.03)(x, generator=seeded(0)), Saturating(noise=noise)
    whitened = Whitened(sensor, noise, y)
    start, alive = whitened.initial_estimate(whitened.whiten(y)), std.isfinite()
    torch.testing.assert_close(start[..., alive], Saturating(noise=0.03).initial_estimate(y)[..., alive])
    assert psnr(rgmkit.restore(y, sensor, "tv").x, x) > psnr(rgmkit.restore(y, Saturating(noise=0.03), "tv").x, x) - 0.5


def test_what_is_linearised_is_differentiable_in_the_image():
    x, d, w = (uniform(1, 1, 8, 8).requires_grad_() for _ in range(3))
    linear = Linearised(Saturating(noise=0.1), x.detach())
    (back,) = torch.autograd.grad((w * linear.A(d)).sum(), d)
    torch.testing.assert_close(back, linear.adjoint(w).detach())


def test_the_least_noise_of_an_operator_that_is_not_linear():
    y = uniform(1, 1, 8, 8)
    assert noise_of(Problem.from_measurement(y, Saturating(noise=0.0), rgmkit.prior("tv"))) == 1e-3
