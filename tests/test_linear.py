"""Linear algebra on operators, and the defaults of degradations that use it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import rgmkit
from rgmkit.core.degradation import Degradation
from rgmkit.core.fourier import reciprocal
from rgmkit.core.linear import conjugate_gradients, dot, operator_norm, per_image, vjp_adjoint
from rgmkit.core.random import randn, seeded
from rgmkit.core.solver import Problem
from rgmkit.errors import AccuracyWarning, ConfigError, IncompatibleError


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return randn(shape, generator=seeded(seed), dtype=torch.float64)


class Matrix(Degradation):
    """`A x = M x` along the columns of an image (B, C, n, W): any shape, any rank."""

    def __init__(self, M: torch.Tensor, *, noise: float = 0.0) -> None:
        super().__init__(noise=noise)
        self.M = M

    def A(self, x):
        return self.M @ x

    def image_shape(self, y_shape):
        return *y_shape[:-2], self.M.shape[1], y_shape[-1]


def test_vjp_adjoint_of_an_operator_that_is_not_its_own():
    M = normal(5, 7)
    y = normal(3, 2, 5, 4, seed=1).requires_grad_()
    found = Matrix(M).adjoint(y)
    assert torch.allclose(found, M.T @ y)
    (slope,) = torch.autograd.grad(found.square().sum() / 2, y)
    assert torch.allclose(slope, M @ M.T @ y)
    with torch.no_grad():
        assert not vjp_adjoint(Matrix(M).A, y, (3, 2, 7, 4)).requires_grad
    with torch.inference_mode():
        assert torch.allclose(Matrix(M).adjoint(1 * y), M.T @ y)


def test_vjp_adjoint_names_shapes_that_disagree():
    with pytest.raises(
        IncompatibleError, match=r"\(1, 1, 7, 4\) to \(1, 1, 5, 4\), but the measurement has shape \(1, 1, 6"
    ):
        vjp_adjoint(lambda x: x[..., :5, :], normal(1, 1, 6, 4), (1, 1, 7, 4))


def singular(rank: int, rows: int, columns: int) -> torch.Tensor:
    return normal(rows, rank) @ normal(rank, columns, seed=1) / rank


def test_conjugate_gradients_find_the_least_norm_solution():
    M = singular(4, 6, 9)
    b = M.T @ M @ normal(3, 1, 9, 2, seed=2)
    x, residual, steps = conjugate_gradients(lambda x: M.T @ (M @ x), b, rtol=1e-12)
    assert steps < 40
    assert residual.shape == (3,)
    assert residual.max() < 1e-12
    assert torch.allclose(x, torch.linalg.pinv(M.T @ M, rtol=1e-10) @ b)


def test_conjugate_gradients_start_from_a_guess_and_report_the_residual():
    H, b = torch.diag(torch.arange(1.0, 9)).double(), normal(2, 1, 8, 1)
    exact = torch.linalg.solve(H, b)
    assert conjugate_gradients(lambda x: H @ x, b, x0=exact).steps == 0
    x, residual, steps = conjugate_gradients(lambda x: H @ x, b, max_steps=3)
    assert steps == 3
    assert torch.allclose(residual, (dot(b - H @ x, b - H @ x) / dot(b, b)).sqrt())
    assert conjugate_gradients(lambda x: H @ x, 0 * b).x.abs().max() == 0


def test_an_image_that_has_converged_is_frozen():
    H, b = torch.diag(torch.arange(1.0, 9)).double(), normal(2, 1, 8, 1)
    b[0, :, :6] = 0  # eigenvalues that are nearly equal: it converges first
    together, alone = (conjugate_gradients(lambda x: H @ x, part, rtol=0.2) for part in (b, b[:1]))
    assert together.steps > alone.steps > 0 and together.x[0].equal(alone.x[0])


def test_pinv_and_prox_by_conjugate_gradients():
    M = singular(4, 6, 9)
    degradation, y, z = Matrix(M), normal(3, 2, 6, 5, seed=2), normal(3, 2, 9, 5, seed=3)
    expected = torch.linalg.pinv(M, rtol=1e-10) @ y
    assert (degradation.pinv(y) - expected).norm() < 1e-4 * expected.norm()
    gamma = torch.tensor([0.1, 2.0, 50.0])
    H = torch.eye(9, dtype=torch.float64) + gamma.double().reshape(3, 1, 1, 1) * (M.T @ M)
    expected = torch.linalg.solve(H, z + per_image(gamma, z) * (M.T @ y))
    assert (degradation.prox(z, y, gamma) - expected).norm() < 1e-4 * expected.norm()


def test_what_conjugate_gradients_do_not_reach_is_warned_of():
    M = torch.diag(torch.logspace(0, -5, 400, dtype=torch.float64))
    degradation, y = Matrix(M), normal(1, 1, 400, 1)
    with pytest.warns(AccuracyWarning, match=r"Matrix\.pinv stopped early once: relative residual .*, above 1e-05"):
        degradation.pinv(y)
    with pytest.warns(AccuracyWarning, match=r"Matrix\.prox"):
        degradation.prox(y, y, 1e9)
    with pytest.warns(AccuracyWarning, match="residual up to nan"):
        degradation.pinv(y * math.nan)


def test_a_nonlinear_degradation_says_what_it_lacks():
    class Clip(Degradation):
        linear = False

        def A(self, x):
            return x.clamp(0, 1)

    clip, x = Clip(), normal(1, 1, 2, 2)
    calls = [
        lambda: clip.adjoint(x),
        lambda: clip.pinv(x),
        lambda: clip.prox(x, x, 1.0),
        lambda: clip.at(0.5).adjoint(x),
    ]
    for call in calls:
        with pytest.raises(IncompatibleError, match="is not linear"):
            call()
    assert torch.equal(clip(2 * x), (2 * x).clamp(0, 1))


def test_severities_and_noise_are_checked():
    degradation = Matrix(normal(4, 4))
    for severity in (-0.1, 1.5, math.nan):
        with pytest.raises(ConfigError, match="severity"):
            degradation.at(severity)
        with pytest.raises(ConfigError, match="severity"):
            degradation.at(0.5).at(severity)
    for noise in (-1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="noise"):
            Matrix(normal(4, 4), noise=noise)


def test_operator_norm():
    M = normal(6, 9)
    found = operator_norm(lambda x: M.T @ (M @ x), (3, 1, 9, 2), generator=seeded(0), dtype=torch.float64, rtol=1e-8)
    assert found == pytest.approx(float(torch.linalg.matrix_norm(M, 2)) ** 2, rel=1e-4)
    assert operator_norm(lambda x: 0 * x, (1, 1, 4, 4), generator=seeded(0)) == 0


def test_the_power_iteration_ends_where_nothing_changes():
    calls = []
    assert operator_norm(lambda x: calls.append(x) or 2 * x, (1, 1, 1, 1), generator=seeded(0), rtol=0) == 2
    assert len(calls) == 2


def test_an_operator_in_double_precision_is_measured_in_double_precision():
    degradation, y = (
        Matrix(normal(6, 6), noise=rgmkit.noise("correlated", kernel=np.ones((1, 3)), std=0.1)),
        normal(1, 1, 6, 9),
    )
    assert rgmkit.restore(y, degradation, "tv", solver="admm:iterations=2").x.dtype == torch.float64
    assert 0 < Problem.from_measurement(y, degradation, rgmkit.prior("tv")).lost_at(1.0) < 1


def test_reciprocal_leaves_out_what_is_null():
    power = torch.tensor([1.0, 0.25, 1e-7, 0.0], requires_grad=True)
    found = reciprocal(power)
    assert found.tolist() == [1, 4, 0, 0]
    found.sum().backward()
    assert power.grad is not None
    assert torch.isfinite(power.grad).all()
