"""Checks of noise models: `check(noise, image_shape)`, with the shape (C, H, W) of a measurement."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rgmkit.core.noise import Noise
from rgmkit.core.random import Streams, seeded
from rgmkit.testing.measure import (
    BATCH,
    assert_close,
    assert_follows_seed,
    assert_pure,
    assert_repeatable,
    draw_images,
    global_generators_untouched,
    one_by_one,
    skip,
)

EXACT = 1e-9  # relative, of float64 arithmetic
DRAWS = 4000

Shape = tuple[int, ...]


def draws(noise: Noise, image_shape: Shape) -> None:
    """Draws have the mean `Ax` and the variance `variance(Ax)`, within 6 standard errors.

    Likely cause: `variance` returns a std, or `sample` draws from another law.
    """
    Ax, variance, finite = _signal(noise, image_shape)
    error = (noise.sample(Ax.expand(DRAWS, *image_shape), generator=seeded(0)) - Ax)[:, finite]
    expected = variance[finite]
    mean, found = error.mean(0), error.square().mean(0)
    off = (mean.abs() / (expected / DRAWS).sqrt()).max()
    assert off <= 6, f"the mean of the draws is {off:.1f} standard errors from Ax"
    spread = (error.square().var(0) / DRAWS).sqrt()
    off = ((found - expected).abs() / spread).max()
    assert off <= 6, f"the variance of the draws is {off:.1f} standard errors from variance(Ax)"


def whitening(noise: Noise, image_shape: Shape) -> None:
    """`whiten` gives noise variance 1, and undoes `colour`; values of infinite variance become 0.

    Likely cause: `whiten` divides by the variance instead of its root, or only one of `whiten` and `colour` is
    overridden.
    """
    Ax, _, finite = _signal(noise, image_shape)
    error = noise.sample(Ax.expand(DRAWS, *image_shape), generator=seeded(0)) - Ax
    white = noise.whiten(error, Ax)
    mean_square = float(white[:, finite].square().mean())
    slack = 6 * float(white[:, finite].square().std()) / math.sqrt(DRAWS)
    assert abs(mean_square - 1) <= slack, f"whitened noise has variance {mean_square:.4f}, expected 1"
    assert not bool(white[:, ~finite].any()), "values of infinite variance are whitened to something else than 0"
    e = torch.where(finite, draw_images(image_shape, seed=1)[:1], 0)
    assert_close(noise.whiten(noise.colour(e, Ax), Ax), e, EXACT, "whiten(colour(e)) against e")


def randomness(noise: Noise, image_shape: Shape) -> None:
    """The same seed gives the same draw, and another seed another one; global generators are not used.

    Likely cause: `torch.randn` or `torch.randn_like`: draw by `rgmkit.core.random.randn(…, generator=generator)`.
    """
    Ax, _, _ = _signal(noise, image_shape)
    assert_repeatable(lambda: noise.sample(Ax, generator=seeded(7)), "sample")
    assert_follows_seed(lambda generator: noise.sample(Ax, generator=generator), "sample")
    with global_generators_untouched("sample"):
        noise.sample(Ax)


def one_image_at_a_time(noise: Noise, image_shape: Shape) -> None:
    """A draw for a batch, from one random stream for each image, is that for each of its images on its own.

    Likely cause: `sample` passes `generator` to torch, which knows no streams: draw by `rgmkit.core.random.randn`.
    """
    Ax = 0.1 + 0.9 * draw_images(image_shape).sigmoid()
    whole = noise.sample(Ax, generator=Streams(0, range(BATCH)))
    each = [noise.sample(Ax[i : i + 1], generator=Streams(0, [i])) for i in range(BATCH)]
    assert_close(whole, torch.cat(each), EXACT, "a draw for a batch against one image at a time")
    white = one_by_one(noise.whiten, whole - Ax, Ax)
    assert_close(noise.whiten(whole - Ax, Ax), white, EXACT, "whiten of a batch against one image at a time")


def purity(noise: Noise, image_shape: Shape) -> None:
    """No method changes the noise or its arguments.

    Likely cause: an operation in place (`Ax += …`), or an attribute that is set outside of the constructor.
    """
    Ax = 0.1 + 0.9 * draw_images(image_shape).sigmoid()
    calls = {
        "sample": lambda: noise.sample(Ax, generator=seeded(0)),
        "variance": lambda: noise.variance(Ax),
        "whiten": lambda: noise.whiten(Ax, Ax),
        "colour": lambda: noise.colour(Ax, Ax),
    }
    for name, call in calls.items():
        assert_pure(noise, call, name, Ax)


def dtypes(noise: Noise, image_shape: Shape) -> None:
    """float32 stays float32.

    Likely cause: a tensor of a fixed type: use `std.to(Ax)`.
    """
    Ax = _signal(noise, image_shape)[0].float()
    results = {"sample": noise.sample(Ax, generator=seeded(0)), "whiten": noise.whiten(Ax, Ax)}
    for name, result in (results | {"colour": noise.colour(Ax, Ax), "variance": noise.variance(Ax)}).items():
        assert result.dtype == torch.float32, f"{name} of float32 gives {result.dtype}"


def stabilising(noise: Noise, image_shape: Shape) -> None:
    """The transform of `stabiliser` maps 0 to 0 and 1 to 1.

    Likely cause: it is not shifted and scaled to do so.
    """
    stabiliser = noise.stabiliser()
    if stabiliser is None:
        skip(f"{type(noise).__name__} has no stabiliser")
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert_close(stabiliser.forward(ends)[None], ends[None], EXACT, "the transform at 0 and 1")


def _signal(noise: Noise, image_shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Return a measurement (1, C, H, W) with values in [.1, 1], its variance, and where that is finite."""
    Ax = 0.1 + 0.9 * draw_images(image_shape)[:1].sigmoid()
    variance = noise.variance(Ax).expand(Ax.shape)[0]
    return Ax, variance, variance.isfinite()


CHECKS = [draws, whitening, one_image_at_a_time, randomness, purity, dtypes, stabilising]
