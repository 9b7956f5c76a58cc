"""Checks of priors: `check(prior, image_shape)`, of images (C, H, W), or points (d,) for a RestoringPrior."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rgmkit.core.linear import dot, per_image
from rgmkit.core.prior import CAPABILITIES, Prior, RestoringPrior
from rgmkit.core.random import Streams, seeded
from rgmkit.errors import IncompatibleError
from rgmkit.testing.measure import BATCH, assert_close, assert_pure, assert_repeatable, draw_images, show, skip

GAMMAS = (0.003, 0.01, 0.1)
SLACK = 0.01  # fraction of the decrease of the objective that an iterative prox may miss

Shape = tuple[int, ...]


def capabilities(prior: Prior, image_shape: Shape) -> None:
    """`provides` is correct: what it lists works, and anything else raises an IncompatibleError.

    Likely cause: a method is missing from `provides`, or one in it is missing, or gives another shape.
    """
    unknown = prior.provides - CAPABILITIES
    assert not unknown, f"provides has {', '.join(unknown)}: capabilities are {', '.join(sorted(CAPABILITIES))}"
    restores = isinstance(prior, RestoringPrior)
    assert restores == ("restore" in prior.provides), "only a RestoringPrior provides 'restore', and each one does"
    x = _images(prior, image_shape)
    for name, call in _calls(prior, x).items():
        if name in prior.provides:
            result = call()
            expected = (BATCH,) if name == "value" else tuple(x.shape)
            assert tuple(result.shape) == expected, f"{name} gives {tuple(result.shape)}, expected {expected}"
            assert torch.isfinite(result).all(), f"{name} gives values that are not finite"
            continue
        try:
            call()
        except IncompatibleError:
            continue
        raise AssertionError(f"{name} works, but provides does not list it: solvers that need it are refused")


def one_image_at_a_time(prior: Prior, image_shape: Shape) -> None:
    """A batch gives the same as each of its images on its own, also with one `gamma` per image.

    Likely cause: `value` sums over the batch, or gamma is not spread by `rgmkit.core.linear.per_image(gamma, x)`.
    """
    x = _images(prior, image_shape)
    for name in sorted(prior.provides & {"value", "grad"}):
        function = getattr(prior, name)
        each = torch.cat([function(image) for image in x.split(1)])
        assert_close(_columns(function(x)), _columns(each), 1e-4, f"{name} of a batch against one image at a time")
    if "prox" in prior.provides:
        gamma = torch.tensor(GAMMAS, dtype=x.dtype)
        whole = prior.prox(x, gamma, generator=Streams(0, range(BATCH)))
        each = torch.cat([prior.prox(x[i : i + 1], g, generator=Streams(0, [i])) for i, g in enumerate(GAMMAS)])
        assert_close(whole, each, 1e-4, "prox with one gamma per image against one image at a time")


def gradient_of_value(prior: Prior, image_shape: Shape) -> None:
    """`grad` is the derivative of `value`: it agrees with a finite difference.

    Likely cause: `grad` lacks the weight of `value`, or a factor.
    """
    if not {"value", "grad"} <= prior.provides:
        skip(f"{type(prior).__name__} lacks value or grad")
    x, step, h = _images(prior, image_shape), draw_images(image_shape, seed=1), 1e-5
    predicted = dot(prior.grad(x), step)
    measured = (prior.value(x + h * step) - prior.value(x - h * step)) / (2 * h)
    scale = (dot(prior.grad(x), prior.grad(x)) * dot(step, step)).sqrt()
    close = bool(((predicted - measured).abs() <= 1e-4 * scale + 1e-8).all())
    assert close, f"the slope along a direction is {show(measured)}, but grad gives {show(predicted)}"


def prox_minimises(prior: Prior, image_shape: Shape) -> None:
    """`gamma g(u) + 1/2 |u - x|^2` is lower at the prox than at x, at grey, and at points around the prox.

    Likely cause: `prox` is of another weight than `value`, uses gamma as 1 / gamma, or stops too early.
    """
    if not {"value", "prox"} <= prior.provides:
        skip(f"{type(prior).__name__} lacks value or prox")
    x = _images(prior, image_shape)
    for gamma in GAMMAS:
        found = prior.prox(x, gamma)

        def objective(u: Tensor, gamma: float = gamma) -> Tensor:
            return gamma * prior.value(u) + dot(u - x, u - x) / 2

        lowest = objective(found)
        slack = SLACK * (objective(x) - lowest).abs() + 1e-6
        for name, rival in _rivals(x, found).items():
            worse = lowest > objective(rival) + slack
            message = f"prox, gamma {gamma}: the objective is {show(lowest)}, but {show(objective(rival))} {name}"
            assert not worse.any(), message


def restoring(prior: Prior, image_shape: Shape) -> None:
    """`restore` takes all levels 1 … T, mixed in a batch, and gives the same result for the same z.

    Likely cause: `_restore` uses the level of the first image for all, or other randomness than z.
    """
    if not isinstance(prior, RestoringPrior):
        skip(f"{type(prior).__name__} does not restore")
    levels = torch.arange(1, prior.process.levels + 1)
    x = _images(prior, image_shape, batch=len(levels))
    z = draw_images((prior.latent,), seed=2, batch=len(levels), dtype=x.dtype)
    y = prior.degrade(x, levels, generator=seeded(1))
    whole = prior.restore(y, levels, z=z)
    assert whole.shape == x.shape, f"restore gives {tuple(whole.shape)} for images of {tuple(x.shape)}"
    each = [prior.restore(y[i : i + 1], i + 1, z=z[i : i + 1]) for i in range(len(levels))]
    assert_close(whole, torch.cat(each), 1e-3, "restore of mixed levels against one image at a time")
    start = prior.degrade(x, 0, generator=seeded(1))
    assert_close(prior.center + prior.scale * start, x, 1e-5, "degrade to level 0 against the image")


def randomness(prior: Prior, image_shape: Shape) -> None:
    """The same seed gives the same result; global generators are not used.

    Likely cause: a draw from torch's global generator: use `rgmkit.core.random.randn(…, generator=generator)`.
    """
    x = _images(prior, image_shape)
    for name, call in _calls(prior, x).items():
        if name in prior.provides:
            assert_repeatable(call, name)


def purity(prior: Prior, image_shape: Shape) -> None:
    """No method changes the prior or its arguments.

    Likely cause: an operation in place, or an attribute that is set outside of the constructor.
    """
    x = _images(prior, image_shape)
    for name, call in _calls(prior, x).items():
        if name in prior.provides:
            assert_pure(prior, call, name, x)


def _images(prior: Prior, image_shape: Shape, batch: int = BATCH) -> Tensor:
    """Draw images in [0, 1], in the precision of the prior's parameters."""
    dtype = next((p.dtype for p in prior.parameters()), torch.float64)
    return draw_images(image_shape, batch=batch, dtype=torch.float64).sigmoid().to(dtype)


def _calls(prior: Prior, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    calls: dict[str, Callable[[], Tensor]] = {"value": lambda: prior.value(x), "grad": lambda: prior.grad(x)}
    calls["prox"] = torch.no_grad()(lambda: prior.prox(x, 0.05, generator=seeded(5)))
    if isinstance(prior, RestoringPrior):
        calls["restore"] = torch.no_grad()(lambda: prior.restore(x, 1, generator=seeded(5)))
    return calls


def _rivals(x: Tensor, found: Tensor) -> dict[str, Tensor]:
    """Return points at which the objective must not be lower than at the prox of x."""
    grey = per_image(found.flatten(1).mean(1), found)
    rivals = {"at x": x, "at even grey": grey.expand_as(x)}
    for h in (-0.1, 0.1):
        rivals[f"at {1 + h:g} of the way from x to it"] = found + h * (found - x)
        rivals[f"at {1 + h:g} of the way from grey to it"] = found + h * (found - grey)
    for h in (1e-3, 1e-2, 0.1):
        rivals[f"at a random point {h:g} from it"] = found + h * draw_images(x.shape[1:], seed=3, dtype=x.dtype)
    return rivals


def _columns(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1)


CHECKS = [
    capabilities, one_image_at_a_time, gradient_of_value, prox_minimises, restoring, randomness, purity,
]  # fmt: skip
