"""Checks of degradations: `check(degradation, image_shape)`, with `image_shape` (C, H, W)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import dot
from rgmkit.core.noise import noise_model
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError
from rgmkit.testing import toys
from rgmkit.testing.devices import follows_device
from rgmkit.testing.measure import (
    BATCH,
    assert_close,
    assert_follows_seed,
    assert_pure,
    assert_repeatable,
    call_quietly,
    draw_images,
    global_generators_untouched,
    one_by_one,
    show,
    skip,
    skipped_if_inaccurate,
)

EXACT = 1e-9  # relative, of float64 arithmetic
ITERATED = 2e-4  # relative, of the default prox and pinv, whose residual is 1e-5
PROJECTED = 1e-2  # relative; with small singular values, a small residual allows a larger error
ITERATED_PROJECTED = 0.1  # relative, without a closed form
GAMMAS = (0.1, 1.0, 30.0)

Shape = tuple[int, ...]


def linearity(degradation: Degradation, image_shape: Shape) -> None:
    """`A(2 x - 3 u) = 2 A x - 3 A u`.

    Likely cause: A adds a constant, clips, or scales by a property of the image. An operator that is meant to do so
    sets `linear = False`. Errors near 1e-7 come from float32.
    """
    _only_linear(degradation)
    x, u = draw_images(image_shape), draw_images(image_shape, seed=1)
    assert_close(degradation.A(2 * x - 3 * u), 2 * degradation.A(x) - 3 * degradation.A(u), EXACT, "A of a combination")


def adjoint(degradation: Degradation, image_shape: Shape) -> None:
    """`<A x, y> = <x, A^T y>` for each image of the batch.

    Likely cause: `adjoint` is not that of A, at its border or by a factor. Without an `adjoint`, autograd computes it
    from A.
    """
    _only_linear(degradation)
    x = draw_images(image_shape)
    Ax = degradation.A(x)
    y = draw_images(Ax.shape[1:], seed=1).to(Ax.dtype)
    back = degradation.adjoint(y)
    assert back.shape == x.shape, f"adjoint gives {tuple(back.shape)} for images of {tuple(x.shape)}"
    left, right = dot(Ax, y), dot(x, back)
    scale = (dot(Ax, Ax) * dot(y, y)).sqrt() + (dot(x, x) * dot(back, back)).sqrt()
    close = bool(((left - right).abs() <= EXACT * scale).all())
    ratio = right / left
    factor = (
        f": {ratio[0]:.4g} times as much" if bool(((ratio - ratio[0]).abs() <= 1e-6 * ratio[0].abs()).all()) else ""
    )
    assert close, f"<A x, y> is {show(left)}, but <x, adjoint(y)> is {show(right)}{factor}"


def one_image_at_a_time(degradation: Degradation, image_shape: Shape) -> None:
    """A batch gives the same as each of its images on its own.

    Likely cause: a mean, norm or maximum over all axes. Take it over the axes 1, 2 and 3, with `keepdim=True`.
    """
    x = draw_images(image_shape)
    y = degradation.A(x)
    assert_close(y, one_by_one(degradation.A, x), EXACT, "A of a batch against one image at a time")
    assert_close(
        degradation.embed(y), one_by_one(degradation.embed, y), EXACT, "embed of a batch against one at a time"
    )
    if degradation.linear:
        each = one_by_one(degradation.adjoint, y)
        assert_close(degradation.adjoint(y), each, EXACT, "adjoint of a batch against one at a time")


def prox(degradation: Degradation, image_shape: Shape) -> None:
    """The gradient of `gamma/2 |A x - y|^2 + 1/2 |x - z|^2`, by autograd, vanishes at the prox.

    Likely cause: `prox` is of another objective: gamma where it should be 1 / gamma, or without its factor 1/2. Without
    a `prox`, conjugate gradients compute it.
    """
    _only_linear(degradation)
    z = draw_images(image_shape)
    y = _measure(degradation, image_shape)
    for gamma in GAMMAS:
        x = degradation.prox(z, y, gamma).detach().requires_grad_()
        assert x.shape == z.shape, f"prox gives {tuple(x.shape)} for images of {tuple(z.shape)}"
        residual, change = degradation.A(x) - y, x - z
        (slope,) = torch.autograd.grad((gamma * dot(residual, residual) + dot(change, change)).sum() / 2, x)
        scale = dot(z, z).sqrt() + gamma * dot(degradation.adjoint(y), degradation.adjoint(y)).sqrt()
        relative = dot(slope, slope).sqrt() / scale
        small = bool((relative <= ITERATED).all())
        assert small, f"prox, gamma {gamma}: relative gradient {show(relative)}, expected at most {ITERATED:.0e}"


def prox_of_each_gamma(degradation: Degradation, image_shape: Shape) -> None:
    """A `gamma` of shape (B,) holds one number for each image.

    Likely cause: `prox` multiplies by gamma as it is: use `rgmkit.core.linear.per_image(gamma, z)`.
    """
    _only_linear(degradation)
    z, y = draw_images(image_shape), _measure(degradation, image_shape)
    gamma = torch.tensor(GAMMAS, dtype=torch.float64)
    each = [degradation.prox(z[i : i + 1], y[i : i + 1], g) for i, g in enumerate(GAMMAS)]
    assert_close(degradation.prox(z, y, gamma), torch.cat(each), ITERATED, "prox with one gamma per image")


def pinv(degradation: Degradation, image_shape: Shape) -> None:
    """`A^+ y` is the least-squares solution of least norm.

    That is, `A^T A A^+ y = A^T y` and `A^+ A A^T y = A^T y`; and, of any pseudo-inverse,
    `A A^+ A x = A x` and `A^+ A A^+ y = A^+ y`.

    Likely cause: `pinv` is an adjoint, or fills in what was not measured. Without a `pinv`, conjugate gradients compute
    it.
    """
    _only_linear(degradation)
    x, y = draw_images(image_shape), _measure(degradation, image_shape)
    back = degradation.adjoint(y)
    with skipped_if_inaccurate("pinv"):
        found, projected = degradation.pinv(y), degradation.pinv(degradation.A(x))
        again, returned = degradation.pinv(degradation.A(found)), degradation.pinv(degradation.A(back))
        each = one_by_one(degradation.pinv, y)
    assert found.shape == x.shape, f"pinv gives {tuple(found.shape)} for images of {tuple(x.shape)}"
    assert_close(degradation.adjoint(degradation.A(found)), back, ITERATED, "A^T A pinv(y) against A^T y")
    close = PROJECTED if degradation.has_closed_form_prox else ITERATED_PROJECTED
    assert_close(returned, back, close, "pinv(A A^T y) against A^T y")
    assert_close(degradation.A(projected), degradation.A(x), close, "A pinv(A x) against A x")
    assert_close(again, found, close, "pinv(A pinv(y)) against pinv(y)")
    assert_close(found, each, close, "pinv of a batch against one image at a time")


def shapes(degradation: Degradation, image_shape: Shape) -> None:
    """For any batch, `image_shape` infers the shape of the image from that of y, and `embed` returns this shape.

    Likely cause: A changes the shape, and `image_shape` or `embed` is missing, or does not invert that change.
    """
    for batch in (1, 4):
        x = draw_images(image_shape, batch=batch)
        y = degradation.A(x)
        assert y.shape[0] == batch, f"A turns a batch of {batch} images into one of {y.shape[0]}"
        inferred = tuple(degradation.image_shape(tuple(y.shape)))
        differs = f"image_shape({tuple(y.shape)}) is {inferred}, but the image had {tuple(x.shape)}"
        assert inferred == tuple(x.shape), differs
        shape = tuple(degradation.embed(y).shape)
        assert shape == inferred, f"embed gives {shape}, but the image had {inferred}"
    _infer_larger(degradation, image_shape)


def dtypes(degradation: Degradation, image_shape: Shape) -> None:
    """float32 gives float32, with the values of float64 up to rounding, and float64 is not rounded to float32.

    Likely cause: a tensor of a fixed type: use `kernel.to(x)`, or `torch.ones(…, dtype=x.dtype, device=x.device)`.
    """
    x, y = draw_images(image_shape), _measure(degradation, image_shape)
    calls = {"A": lambda x, y: degradation.A(x)}
    if degradation.linear:
        calls |= {"adjoint": lambda x, y: degradation.adjoint(y), "prox": lambda x, y: degradation.prox(x, y, 1.0)}
    for name, call in calls.items():
        wide, narrow = call(x, y), call(x.float(), y.float())
        assert narrow.dtype == torch.float32, f"{name} of float32 gives {narrow.dtype}"
        assert_close(narrow.double(), wide, 1e-3, f"{name} in float32 against float64")
        if degradation.linearisable:  # others may round
            rounded = call(x.float().double(), y.float().double())
            same = torch.equal(rounded, wide) and bool(wide.any())
            assert not same, f"{name} of float64 is computed in float32: digits beyond those change nothing"


def devices(degradation: Degradation, image_shape: Shape) -> None:
    """The result is on the device of the argument.

    Likely cause: a tensor that stays on the CPU: register it with `register_buffer`, or use `kernel.to(x)`.
    """
    x = draw_images(image_shape)
    y = degradation.A(x)
    if not follows_device(degradation, lambda moved, x: moved.A(x), "A", x):
        skip("A needs the values of its tensors, and there is no accelerator")
    follows_device(degradation, lambda moved, y: moved.embed(y), "embed", y)
    if degradation.linear:
        follows_device(degradation, lambda moved, y: moved.adjoint(y), "adjoint", y)


def gradients(degradation: Degradation, image_shape: Shape) -> None:
    """Autograd differentiates A in x, and prox in z and y, correctly.

    Likely cause: `detach`, `torch.no_grad`, NumPy, an operation in place, or an `adjoint` that is not that of A.
    """
    _only_linear(degradation)
    x, y = draw_images(image_shape).requires_grad_(), _measure(degradation, image_shape).requires_grad_()
    (slope,) = torch.autograd.grad(dot(degradation.A(x), y.detach()).sum(), x)
    assert_close(slope, degradation.adjoint(y.detach()), EXACT, "the gradient of <A x, y> against the adjoint")
    w = draw_images(image_shape, seed=2)
    slopes = torch.autograd.grad(dot(degradation.prox(x, y, 2.0), w).sum(), (x, y))
    # prox is linear in (z, y) jointly, so that its gradient determines its value
    value = dot(degradation.prox(x, y, 2.0), w)
    predicted = dot(slopes[0], x) + dot(slopes[1], y)
    scale = (dot(w, w) * (dot(x, x) + dot(y, y))).sqrt()
    close = bool(((value - predicted).abs() <= ITERATED * scale).all())
    assert close, f"<prox(z, y), w> is {show(value)}, but its gradient gives {show(predicted)}"


def noise(degradation: Degradation, image_shape: Shape) -> None:
    """`forward(x) - A(x)` has mean 0 and std `noise`, within 5 standard errors; for a model the rms std.

    Likely cause: A adds noise itself, or `forward` is overridden. Noise of your own is a component of the kind noise.
    """
    x = draw_images(image_shape).sigmoid()  # in [0, 1]: negative values have no photon noise
    x = x.repeat(math.ceil(4000 / BATCH / math.prod(image_shape)), *[1] * len(image_shape))
    y = degradation.A(x)
    error = degradation(x, generator=seeded(0)) - y
    mean, std, n = float(error.mean()), float(error.std()), error.numel()
    expected = _std(degradation, y)
    slack = 5 * expected / math.sqrt(n) + 1e-12
    assert abs(mean) <= slack, f"the noise has mean {mean:.2e}, expected 0 within {slack:.1e}"
    assert abs(std - expected) <= slack, f"the noise has std {std:.4f}, expected {expected:.4f}"


def randomness(degradation: Degradation, image_shape: Shape) -> None:
    """The same seed gives the same measurement, and another seed another one; global generators are not used.

    Likely cause: A draws random numbers. A random parameter is drawn from a `seed`, an option of the constructor.
    """
    x = draw_images(image_shape)
    assert_repeatable(lambda: degradation(x, generator=seeded(7)), "forward")
    if _std(degradation, degradation.A(x)) > 0:
        assert_follows_seed(lambda generator: degradation(x, generator=generator), "forward")
    with global_generators_untouched("forward"):
        degradation(x)


def purity(degradation: Degradation, image_shape: Shape) -> None:
    """No method changes the object or its arguments, and a repeated call gives the same result.

    Likely cause: an operation in place (`x *= …`, `x[…] = …`, `x.mul_`), or an attribute that is set outside of the
    constructor.
    """
    x, y = draw_images(image_shape), _measure(degradation, image_shape)
    calls = {"A": lambda: degradation.A(x), "embed": lambda: degradation.embed(y)}
    calls |= {"at": lambda: degradation.at(0.5).A(x)}
    if degradation.linear:
        calls |= {
            "adjoint": lambda: degradation.adjoint(y),
            "pinv": lambda: call_quietly(degradation.pinv, y),
            "prox": lambda: degradation.prox(x, y, 1.0),
        }
    for name, call in calls.items():
        assert_pure(degradation, call, name, x, y, between=lambda: degradation.A(x[:1]))


def severities(degradation: Degradation, image_shape: Shape) -> None:
    """`at(0)` is the identity without noise, `at(1)` the operator itself, and what is between is milder.

    Likely cause: `at` ignores the severity, or has other noise than `self.noise_at(severity)`. Without an `at`, images
    are blended with their measurements.
    """
    x = draw_images(image_shape).sigmoid()  # in [0, 1]
    nothing, half, whole = (degradation.at(severity) for severity in (0, 0.5, 1))
    assert_close(nothing.embed(nothing.A(x)), x, EXACT, "A at severity 0 against the image")
    assert not nothing.noise, f"the noise at severity 0 is {nothing.noise}, expected 0"
    assert_close(whole.A(x), degradation.A(x), EXACT, "A at severity 1 against A")
    assert whole.noise == degradation.noise, f"the noise at severity 1 is {whole.noise}, expected {degradation.noise}"
    y = degradation.A(x)
    between = 0 <= _std(half, y) <= _std(degradation, y)
    assert between, f"the noise at severity 1/2 is {half.noise} of {degradation.noise}"
    shape = half.embed(half.A(x)).shape
    assert shape == x.shape, f"at severity 1/2 an image {tuple(x.shape)} is embedded as {tuple(shape)}"
    halfway, end = half.embed(half.A(x)), degradation.embed(y)
    same = torch.equal(halfway, end) and float((end - x).norm()) > 1e-6 * float(x.norm())
    assert not same, "A at severity 1/2 is that at severity 1, expected a milder one"
    unknown = degradation.with_noise(None).at(0.5).noise
    assert unknown is None, f"if the noise is unknown, that at severity 1/2 is {unknown}, expected None"
    model = degradation.with_noise(toys.Photons())
    between = 0 <= _std(model.at(0.5), y) <= _std(model, y)
    assert between, f"the noise at severity 1/2 is {model.at(0.5).noise} of {model.noise}"
    for severity in (-0.1, 1.1):
        try:
            degradation.at(severity)
        except ConfigError:
            continue
        raise AssertionError(f"at({severity}) is accepted: raise a ConfigError outside [0, 1]")


def finals(degradation: Degradation, image_shape: Shape) -> None:
    """`forward` and `to_deepinv` are rgmkit's own.

    Likely cause: the class overrides one of them: override A, and give noise to the constructor of the base class.
    """
    for name in ("forward", "to_deepinv"):
        own = getattr(type(degradation), name) is getattr(Degradation, name)
        assert own, f"{type(degradation).__name__} overrides {name}, which is final: override A instead"


def _infer_larger(degradation: Degradation, image_shape: Shape) -> None:
    """Assert that `image_shape` is right for larger images, too, if the operator is not of a fixed size."""
    larger = draw_images([image_shape[0], *(2 * side for side in image_shape[1:])])
    try:
        y = degradation.A(larger)
        inferred = tuple(degradation.image_shape(tuple(y.shape)))
    except Exception:  # of a foreign operator of a fixed size
        return
    expected = tuple(larger.shape)
    right = inferred in (expected, (len(y), *image_shape))
    assert right, f"image_shape({tuple(y.shape)}) is {inferred}, but the image had {expected}"


def _std(degradation: Degradation, y: Tensor) -> float:
    """Return the root mean square of the noise std, over the values of finite variance."""
    variance = noise_model(degradation.noise or 0.0).variance(y).expand(y.shape)
    return float(variance.where(variance.isfinite(), 0).mean().sqrt())


def _only_linear(degradation: Degradation) -> None:
    if not degradation.linear:
        skip(f"{type(degradation).__name__} is not linear")


def _measure(degradation: Degradation, image_shape: Shape) -> Tensor:
    """Return a measurement that is not in the range of A."""
    y = degradation.A(draw_images(image_shape, seed=3))
    return y + draw_images(y.shape[1:], seed=4).to(y.dtype)


CHECKS = [
    linearity, adjoint, one_image_at_a_time, prox, prox_of_each_gamma, pinv, shapes, dtypes, devices, gradients,
    noise, randomness, purity, severities, finals,
]  # fmt: skip
