"""Linear algebra with operators given as functions on batches of images, each image on its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rgmkit.core.random import Randomness, randn
from rgmkit.errors import IncompatibleError

Operator = Callable[[Tensor], Tensor]


class LinearSolution(NamedTuple):
    """The solution `x` of an iterative method, its relative residual per image, and the number of iterations."""

    x: Tensor
    residual: Tensor
    steps: int


def per_image(value: float | Tensor, like: Tensor) -> Tensor:
    """Reshape `value`, a number or a tensor (B,), to multiply a batch `like` (B, ...).

    >>> per_image(torch.tensor([1.0, 2.0]), torch.zeros(2, 3, 4, 4)).shape
    torch.Size([2, 1, 1, 1])
    """
    value = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    return value.reshape(-1, *[1] * (like.ndim - 1))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each image of `a` with that of `b`: (B,)."""
    return (a.conj() * b).real.flatten(1).sum(1)


def vjp_adjoint(A: Operator, y: Tensor, image_shape: tuple[int, ...]) -> Tensor:
    """Compute `A^T y` by reverse-mode differentiation of a linear `A`; differentiable in `y` and the parameters of `A`.

    Raises:
        IncompatibleError: if `A` maps an image of `image_shape` to another shape than that of `y`.
    """
    graph = torch.is_grad_enabled()
    with torch.inference_mode(mode=False), torch.enable_grad():
        x = torch.zeros(image_shape, dtype=y.dtype, device=y.device, requires_grad=True)
        Ax = A(x)
    if Ax.shape != y.shape:
        raise IncompatibleError(
            f"A maps an image of shape {tuple(image_shape)} to {tuple(Ax.shape)}, but the measurement "
            f"has shape {tuple(y.shape)}: give the operator an image_shape(y_shape) that inverts its "
            f"change of shape"
        )
    with torch.inference_mode(mode=False):
        (x_bar,) = torch.autograd.grad(Ax, x, y, create_graph=graph)
    return x_bar


def conjugate_gradients(
    H: Operator, b: Tensor, *, x0: Tensor | None = None, rtol: float = 1e-6, max_steps: int = 200
) -> LinearSolution:
    """Solve `H x = b` for a symmetric positive semi-definite `H`, each image on its own.

    An image is frozen once `|b - H x| <= rtol |b|`, however many iterations the others of the batch take. From
    `x0 = 0` the iterates stay in the range of `H`, so that a singular system gives its solution of least norm.

    The solution is differentiable once in `b` and in what `H` depends on, by its implicit function: the gradient takes
    another solution with `H`, and no iterate is kept.

    Source: Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", 1952.
    """
    with torch.no_grad():
        found = _iterate(H, b, x0, rtol, max_steps)
    if not torch.is_grad_enabled():
        return found
    solution = found.x.detach()  # it may be x0, with a graph
    error = b - H(solution)
    if not error.requires_grad:
        return found
    x = _Implicit.apply(error, solution, lambda g: _iterate(H, g, None, rtol, max_steps).x)
    return found._replace(x=x)


class _Implicit(torch.autograd.Function):
    """The solution `x` of `error = b - H x = 0`, with the derivative `H^{-1} d(error)`."""

    @staticmethod
    def forward(ctx: Any, error: Tensor, x: Tensor, solve: Operator) -> Tensor:
        ctx.solve = solve
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.solve(gradient), None, None


def _iterate(H: Operator, b: Tensor, x0: Tensor | None, rtol: float, max_steps: int) -> LinearSolution:
    x = torch.zeros_like(b) if x0 is None else x0
    r = b if x0 is None else b - H(x)
    p, rr, bb = r, dot(r, r), dot(b, b)
    steps = 0
    while steps < max_steps and bool((active := rr > rtol**2 * bb).any()):
        Hp = H(p)
        pHp = dot(p, Hp)
        alpha = torch.where(active & (pHp > 0), rr / pHp.clamp(min=torch.finfo(b.dtype).tiny), 0)
        x = x + per_image(alpha, b) * p
        r = r - per_image(alpha, b) * Hp
        rr_next = dot(r, r)
        beta = torch.where(rr > 0, rr_next / rr.clamp(min=torch.finfo(b.dtype).tiny), 0)
        p, rr = r + per_image(beta, b) * p, rr_next
        steps += 1
    residual = (rr / bb.clamp(min=torch.finfo(b.dtype).tiny)).sqrt()
    return LinearSolution(x, residual, steps)


def operator_norm(
    H: Operator,
    shape: tuple[int, ...],
    *,
    generator: Randomness = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    rtol: float = 1e-4,
    max_steps: int = 100,
) -> float:
    """Compute the largest eigenvalue of a symmetric positive semi-definite `H` by power iteration.

    `|A|^2` is `operator_norm(lambda x: adjoint(A(x)), shape)`.
    """
    x = randn((1, *shape[1:]), generator=generator, device=device, dtype=dtype)
    x, value = x / x.norm(), 0.0
    for _ in range(max_steps):
        Hx = H(x)
        previous, value = value, float(Hx.norm())
        if value == 0 or abs(value - previous) <= rtol * value:
            break
        x = Hx / value
    return value
