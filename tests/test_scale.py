"""The scale of an operator, and the estimate from which solvers start."""

from __future__ import annotations

import pytest
import torch
from analytic import Diagonal
from pictures import normal, uniform

import rgmkit
from rgmkit.core.degradation import Degradation
from rgmkit.core.random import seeded
from rgmkit.core.scale import measure_scale
from rgmkit.core.solver import Problem
from rgmkit.errors import IncompatibleError
from rgmkit.solvers.measurement import information_std, least_of_most_lost, lost_std

SHAPE = (1, 1, 20, 20)
Y = torch.zeros(SHAPE)


class Half(Degradation):
    """`.7 x` in half precision."""

    def A(self, x):
        return (0.7 * x).half().to(x)


class Bent(Degradation):
    """Linear but for a hundredth."""

    def A(self, x):
        return x + 0.01 * x.abs()


class Difference(Degradation):
    """`x` less its neighbour: the mean is lost."""

    def A(self, x):
        return x - x.roll(1, -1)


def test_the_largest_and_the_mean_gain():
    for factor in (1.0, 0.01):
        d = factor * torch.linspace(0, 1, 400).reshape(SHAPE)
        scale = measure_scale(Diagonal(d), SHAPE, Y)
        assert 0.96 * factor**2 < scale.largest_gain <= factor**2  # the 20 largest gains are within 10 % of each other
        assert scale.mean_gain == pytest.approx(factor**2 / 3, rel=0.15) and scale.lost == pytest.approx(2 / 3, rel=0.1)
    d = torch.ones(SHAPE)
    d[..., 0] = 2
    assert measure_scale(Diagonal(d), SHAPE, Y).largest_gain == pytest.approx(4, rel=1e-3)


def test_the_norm_takes_20_steps_at_most():
    """The largest gains are rare: after 20 steps the estimate still grows by more than a thousandth."""
    operator, calls = Diagonal((1 - torch.linspace(0, 1, 400) ** 0.5).sqrt().reshape(SHAPE)), []
    operator.A, operator.adjoint = lambda x: calls.append(x) or operator.d * x, lambda y: operator.d * y
    measure_scale(operator, SHAPE, Y)
    assert 20 <= len(calls) < 30


def test_rounding_is_no_loss():
    assert measure_scale(rgmkit.degradation("blur:std=0.25"), SHAPE, Y).lost == 0  # 5e-6
    d = torch.ones(SHAPE)
    d[0, 0, 0, 0] = 0  # one pixel of 400 is one
    assert measure_scale(Diagonal(d), SHAPE, Y).lost > 0


def test_an_operator_that_is_linear_up_to_rounding():
    assert measure_scale(Half(), SHAPE, Y).lost < 0.01
    with pytest.raises(IncompatibleError, match="Bent says that it is linear"):
        measure_scale(Bent(), SHAPE, Y)


def test_outputs_that_depend_on_the_image():
    d = torch.ones(SHAPE)
    d[..., 0], d[..., 1], d[..., 2] = 0, 1e-9, 1e-3
    measured = measure_scale(Diagonal(d), SHAPE, Y).measured
    assert measured.equal(d > 1e-8)


def test_pixels_that_are_hardly_measured_are_filled():
    d = torch.ones(SHAPE)
    d[..., 5, 5], d[..., 12, 12] = 0.3, 0.15  # gains of .09 and .02
    y = torch.full(SHAPE, 0.5)
    start = Diagonal(d).initial_estimate(y)
    expected = torch.full(SHAPE, 0.5)
    expected[..., 5, 5] = 0.5 / 0.3
    torch.testing.assert_close(start, expected)


def test_an_operator_that_loses_the_mean_starts_from_grey():
    operator, y = Difference(), normal(*SHAPE)
    start = operator.initial_estimate(y)
    torch.testing.assert_close(start, 0.5 + operator.adjoint(y) / 2, rtol=0.1, atol=0.1)  # the mean squared gain is 2


def test_what_is_lost_at_a_weight():
    """With singular values h it is the mean of `1 / (1 + weight h^2)`."""
    gains = torch.linspace(0, 2, 64 * 64, dtype=torch.float64).reshape(1, 64, 64)
    problem = Problem.from_measurement(gains[None] * 0.5, Diagonal(gains, noise=0.1), rgmkit.prior("tv"))
    for weight in (0.1, 3.0, 30.0):
        exact = float((1 / (1 + weight * gains**2)).mean())
        assert problem.lost_at(weight) == pytest.approx(exact, rel=0.1)


def test_other_measurements_of_the_same_kind_share_what_was_measured_once():
    y = (255 * uniform(1, 1, 16, 16)).round() / 255
    problem = Problem.from_measurement(y, rgmkit.degradation("blur:std=1,noise=0.01"), rgmkit.load("photographs"))
    others = problem.with_measurement(normal(2, 1, 16, 16))
    assert others.scale is problem.scale and others.shape == (2, 1, 16, 16)
    assert others.rounding_step == problem.rounding_step == pytest.approx(1 / 255)


def test_the_denoiser_is_told_of_more_noise_where_a_blur_loses_nearly_everything():
    """Masks, weak blurs at little noise, and tomography, whose singular values fall slowly, are left alone."""
    stds = {}
    for spec in (
        "blur:std=2,boundary=circular,noise=0.01",
        "inpaint:keep=0.1,noise=0.01",
        "blur:std=1,boundary=circular,noise=1e-3",
        "deepinv.Tomography:width=64,angles=60,noise=0.02",
    ):
        degradation = rgmkit.degradation(spec)
        y = degradation(uniform(1, 1, 64, 64), generator=seeded(1)).detach()
        stds[spec] = information_std(Problem.from_measurement(y, degradation, rgmkit.load("photographs")))
    blur, mask, mild, tomography = stds.values()
    assert blur > 0.06 and mask < 0.042 and mild < 0.021 and tomography < 0.08


def test_the_std_of_what_a_strong_blur_loses():
    """It is `.2 lost^16 l^2`, with l the information that is lost at the weight `(10 lost_std / noise)^2`."""
    degradation, weights = rgmkit.degradation("blur:std=2,boundary=circular,noise=0.01"), []
    problem = Problem.from_measurement(degradation(uniform(1, 1, 64, 64)), degradation, rgmkit.load("photographs"))
    lost = problem.scale.lost
    object.__setattr__(problem, "lost_at", lambda weight: weights.append(weight) or 0.5)
    assert least_of_most_lost(problem) == pytest.approx(0.2 * lost**16 * 0.25)
    assert weights == [pytest.approx((10 * lost_std(problem.prior) / 0.01) ** 2)]
