"""Operators that are not linear: their linear approximation, and where solvers start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.autograd import grad

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import conjugate_gradients, dot
from rgmkit.core.noise import noise_model
from rgmkit.errors import IncompatibleError

START_STEPS, START_RTOL, CG_STEPS = 10, 1e-2, 10  # of the first estimate: most steps, and accuracy of each
GREYS = (0.5, 0.25, 0.75)  # where it begins: where one is saturated, another may not be
MARGIN = 1e-3  # of the values at which an operator is linearised to 0 and 1
LEAST_NOISE = 1e-3  # a residual that is small enough without noise
DAMPING, LESS, MORE = 0.1, 0.3, 10.0  # its first damping, relative to the mean squared singular value; its factors


@final
class Linearised(Degradation):
    """The derivative J of an operator at images x0, for which `A(x)` is nearly `A(x0) + J (x - x0)`.

    `A(x) = y` becomes the linear equation `J x = y - A(x0) + J x0`, see `shift`. Both J and its transpose are applied
    by reverse-mode differentiation; for J the gradient `J^T w` is differentiated with respect to w.

    Args:
        degradation: with an `A` that autograd can differentiate twice.
        x: the images x0, (B, C, H, W).

    Raises:
        IncompatibleError: if `A` has no gradient.

    >>> class Square(Degradation):
    ...     linear = False
    ...     def A(self, x):
    ...         return x**2
    >>> Linearised(Square(), torch.full((1, 1, 1, 1), 0.3)).A(torch.ones(1, 1, 1, 1)).detach()
    tensor([[[[0.6000]]]])
    """

    def __init__(self, degradation: Degradation, x: Tensor) -> None:
        super().__init__(noise=degradation.noise)
        self.degradation = degradation
        try:
            with torch.inference_mode(mode=False), torch.enable_grad():
                self.x = x.detach().clone().requires_grad_()
                self.Ax = degradation.A(self.x)
                self.w = torch.zeros_like(self.Ax, requires_grad=True)
                (self.pullback,) = grad(self.Ax, self.x, self.w, create_graph=True)
        except RuntimeError as error:
            raise IncompatibleError(
                f"{degradation.title}.A cannot be differentiated: {error}: write it with differentiable operations of "
                f"torch, or use a solver that needs only forward, such as one-shot with a network"
            ) from error

    @property
    def title(self) -> str:
        """The name of the operator that was linearised."""
        return self.degradation.title

    def shift(self, y: Tensor) -> Tensor:
        """Return the measurement `y - A(x0) + J x0` of the linear problem."""
        return y - self.Ax + self.A(self.x)

    def A(self, x: Tensor) -> Tensor:
        """Return `J x`."""
        graph = torch.is_grad_enabled()
        (Jx,) = grad(self.pullback, self.w, x.expand_as(self.x), retain_graph=True, create_graph=graph)
        return Jx

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `J^T y`."""
        (back,) = grad(self.Ax, self.x, y, retain_graph=True, create_graph=torch.is_grad_enabled())
        return back

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of x0."""
        return tuple(self.x.shape)

    def embed(self, y: Tensor) -> Tensor:
        """Return the embedding of the operator that was linearised."""
        return self.degradation.embed(y)

    def initial_estimate(self, y: Tensor) -> Tensor:
        """Return x0."""
        return self.x.detach()


def clip_images(x: Tensor, *, margin: float = 0.0) -> Tensor:
    """Clip images to [0, 1], outside of which an operator need not be defined; points and vectors stay as they are.

    A `margin` keeps away from 0 and 1, where a derivative may be infinite, as that of a root.
    """
    return x.clamp(margin, 1 - margin) if x.ndim == 4 else x


def linearise(degradation: Degradation, x: Tensor) -> Linearised:
    """Linearise an operator at images `x`, at a small distance from 0 and 1."""
    return Linearised(degradation, clip_images(x, margin=MARGIN))


@torch.no_grad()
def fit_measurement(degradation: Degradation, y: Tensor) -> Tensor:
    """Return images that nearly have the measurements `y`: where solvers start if the operator is not linear.

    Each image is fitted on its own by the method of Levenberg and Marquardt, from one of three uniform greys or from
    `embed(y)`: the first that ends at a residual of at most the noise, or the one with the least. It is an inexact
    inverse: at most ten damped steps are taken, and none when the residual is the noise.

    Source: Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", 1963.
    """
    return torch.cat([_fit_one(degradation, y[i : i + 1]) for i in range(len(y))])


def _fit_one(degradation: Degradation, y: Tensor) -> Tensor:
    def misfit(x: Tensor) -> float:
        error = float((degradation.A(x) - y).abs().square().mean())
        return error if math.isfinite(error) else math.inf

    variance = noise_model(degradation.noise or 0.0).variance(y)
    enough = max(float(variance.where(variance.isfinite(), 0).mean()), LEAST_NOISE**2)
    guess = clip_images(degradation.embed(y).real)
    best, least = guess, math.inf
    for start in (*(torch.full_like(guess, grey) for grey in GREYS), guess):
        found = _descend(degradation, y, start, misfit, enough)
        if misfit(found) < least / 2:
            best, least = found, misfit(found)
        if least <= enough:
            break
    return best


def _descend(
    degradation: Degradation, y: Tensor, x: Tensor, misfit: Callable[[Tensor], float], enough: float
) -> Tensor:
    """Take damped steps from `x`, none of which increases the misfit, until it is `enough`."""
    least, damping = misfit(x), DAMPING
    linear = linearise(degradation, x)
    for _ in range(START_STEPS):
        if least <= enough:
            break
        found = clip_images(linear.x + _damped_step(linear, y, damping))
        if not misfit(found) < least:
            damping *= MORE
            continue
        x, least, damping = found, misfit(found), LESS * damping
        linear = linearise(degradation, x)
    return x


def _damped_step(linear: Linearised, y: Tensor, damping: float) -> Tensor:
    """Return the step d that minimises `|A(x0) + J d - y|^2 + damping gain |d|^2`, gain the mean squared response."""
    back = linear.adjoint(y - linear.Ax.detach())
    Jb = linear.A(back)
    weight = damping * float(dot(Jb, Jb) / dot(back, back).clamp(min=torch.finfo(back.dtype).tiny))
    return conjugate_gradients(
        lambda d: linear.adjoint(linear.A(d)) + weight * d, back, rtol=START_RTOL, max_steps=CG_STEPS
    ).x
