"""Checks of forward processes: `check(process, image_shape)`, of images (C, H, W) or points (d,)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rgmkit.core.process import ForwardProcess
from rgmkit.core.random import Streams, randn, seeded
from rgmkit.testing.measure import (
    assert_close,
    assert_pure,
    assert_repeatable,
    draw_images,
    global_generators_untouched,
    one_by_one,
)

EXACT = 1e-6  # relative; the noise schedule is float32
STANDARD_ERRORS = 5.0
VALUES = 400_000  # drawn per level to estimate moments

Shape = tuple[int, ...]


def noise_schedule(process: ForwardProcess, image_shape: Shape) -> None:
    """Gains never increase from 1, levels 1 … T have noise, and at level T the gain is at most 5 % of the noise std.

    Likely cause: the gains and stds that are given to the constructor of the base class, from level 0 to level T.
    """
    a, sigma = process.a_by_level.tolist(), process.sigma_by_level.tolist()
    sizes = len(a), len(sigma)
    assert sizes == (process.levels + 1,) * 2, f"{process.levels} levels have {sizes} gains and stds, one more each"
    assert a[0] == 1 and sigma[0] == 0, f"level 0 has gain {a[0]} and noise {sigma[0]}, expected 1 and 0"
    assert all(a[s] >= a[s + 1] for s in range(process.levels)), f"the gains do not fall: {a}"
    assert all(std > 0 for std in sigma[1:]), f"a level above 0 has no noise: {sigma}"
    assert a[-1] <= 0.05 * sigma[-1], f"level T has gain {a[-1]:.3f} with noise {sigma[-1]:.3f}: too much is left"


def clean_level(process: ForwardProcess, image_shape: Shape) -> None:
    """Level 0 is the image itself.

    Likely cause: `mean` or `shape_noise` changes the image at level 0.
    """
    x = draw_images(image_shape)
    level = process.full_level(0, x)
    assert_close(process.mean(x, level), x, 1e-12, "mean at level 0 against the image")
    assert_close(process.degrade(x, level, generator=seeded(0)), x, 1e-12, "a draw of level 0 against the image")


def mixed_levels(process: ForwardProcess, image_shape: Shape) -> None:
    """A batch of several levels gives the same as batches of one level.

    Likely cause: `mean` uses the level of the first image: use `rgmkit.core.linear.per_image(self.a(level), x)`.
    """
    level = torch.arange(process.levels + 1)
    x, e = draw_images(image_shape, batch=len(level)), draw_images(image_shape, seed=1, batch=len(level))
    y = process.degrade(x, level, standard_normal=e)
    every = [process.full_level(s, x) for s in range(process.levels + 1)]
    mean = torch.stack([process.mean(x, one)[s] for s, one in enumerate(every)])
    assert_close(process.mean(x, level), mean, EXACT, "mean of mixed levels against one level at a time")
    each = torch.stack([process.degrade(x, one, standard_normal=e)[s] for s, one in enumerate(every)])
    assert_close(y, each, EXACT, "draws of mixed levels against one level at a time")
    alone = one_by_one(lambda x, s, e: process.degrade(x, s, standard_normal=e), x, level, e)
    assert_close(y, alone, EXACT, "draws of a batch against one image at a time")
    x, y, level = x.roll(1, 0)[1:], y[1:], level[1:]
    fidelity = process.fidelity(x, y, level)
    assert fidelity.shape == level.shape, f"fidelity gives {tuple(fidelity.shape)}, expected one number per image"
    apart = one_by_one(process.fidelity, x, y, level)
    assert_close(fidelity[:, None], apart[:, None], EXACT, "fidelity of mixed levels against one at a time")


def mean_fidelity(process: ForwardProcess, image_shape: Shape) -> None:
    """`E[F(x, y_s, s)] = d/2` at the true x, at every level, within 5 standard errors.

    Likely cause: `fidelity` does not divide by the variance of the noise that `shape_noise` has.
    """
    d, x = math.prod(image_shape), _draw_uniform(image_shape)
    for s in range(1, process.levels + 1):
        level = process.full_level(s, x)
        found = process.fidelity(x, process.degrade(x, level, generator=seeded(s)), level).double()
        _assert_mean(found, d / 2, f"the fidelity at level {s} has mean")


def noise(process: ForwardProcess, image_shape: Shape) -> None:
    """`y_s - A_s x` has mean 0 and the variance `sigma_s^2`, at every level, within 5 standard errors.

    Likely cause: `shape_noise` has another std than `sigma`.
    """
    x = _draw_uniform(image_shape)
    for s in range(1, process.levels + 1):
        level = process.full_level(s, x)
        error = (process.degrade(x, level, generator=seeded(s)) - process.mean(x, level)).flatten(1).double()
        _assert_mean(error.mean(1), 0.0, f"the noise of level {s} has mean")
        _assert_mean(
            error.square().mean(1), float(process.sigma_by_level[s]) ** 2, f"the noise of level {s} has variance"
        )


def terminal_law(process: ForwardProcess, image_shape: Shape) -> None:
    """`terminal` has the distribution of images at level T: mean, variance and correlation of neighbours agree.

    Likely cause: `terminal` is overridden with noise of another variance or correlation.
    """
    x = _draw_uniform(image_shape)
    real = process.degrade(x, process.full_level(process.levels, x), generator=seeded(1)).double()
    drawn = process.terminal(tuple(x.shape), generator=seeded(2)).double()
    assert drawn.shape == x.shape, f"terminal gives {tuple(drawn.shape)}, expected {tuple(x.shape)}"
    left = float(process.a_by_level[-1])  # of an image in [-1, 1]
    for name, statistic in _STATISTICS.items():
        if name == "mean" or len(image_shape) == 3:
            _assert_same_mean(statistic(real), statistic(drawn), left, f"{name} of a pixel")
    _assert_same_mean(_variance(real), _variance(drawn), left, "variance of a pixel")


def randomness(process: ForwardProcess, image_shape: Shape) -> None:
    """The same seed gives the same draw, image by image; global generators are not used.

    Likely cause: a draw from torch's global generator: use `rgmkit.core.random.randn(…, generator=generator)`.
    """
    x = draw_images(image_shape)
    level = torch.tensor([1, process.levels, 0])
    assert_repeatable(lambda: process.degrade(x, level, generator=seeded(5)), "degrade")
    assert_repeatable(lambda: process.terminal(tuple(x.shape), generator=seeded(5)), "terminal")
    with global_generators_untouched("degrade"):
        process.degrade(x, level)
    whole = process.degrade(x, level, generator=Streams(0, range(3)))
    each = [process.degrade(x[i : i + 1], level[i : i + 1], generator=Streams(0, [i])) for i in range(3)]
    assert_close(whole, torch.cat(each), EXACT, "draws from one stream per image against one image at a time")


def purity(process: ForwardProcess, image_shape: Shape) -> None:
    """No method changes the process or its arguments.

    Likely cause: an operation in place, or an attribute that is set outside of the constructor.
    """
    x, level = draw_images(image_shape), torch.tensor([1, process.levels, 0])
    y = process.degrade(x, level, standard_normal=x)
    calls = {
        "degrade": lambda: process.degrade(x, level, standard_normal=x),
        "fidelity": lambda: process.fidelity(x[:2], y[:2], level[:2]),
        "terminal": lambda: process.terminal(tuple(x.shape), generator=seeded(0)),
    }
    for name, call in calls.items():
        assert_pure(process, call, name, x, y, level)


def dtypes(process: ForwardProcess, image_shape: Shape) -> None:
    """float32 gives float32 and float64 gives float64, with the same values.

    Likely cause: a tensor of a fixed type: use `.to(x)`.
    """
    x, level = draw_images(image_shape), torch.tensor([1, process.levels, 0])
    wide, narrow = (process.degrade(e, level, standard_normal=e) for e in (x, x.float()))
    kept = wide.dtype == torch.float64 and narrow.dtype == torch.float32
    assert kept, f"a draw of float64 images is {wide.dtype}, of float32 images {narrow.dtype}"
    assert_close(narrow.double(), wide, 1e-4, "a draw in float32 against float64")


def gradients(process: ForwardProcess, image_shape: Shape) -> None:
    """Autograd differentiates `degrade`: the slope agrees with a finite difference.

    Likely cause: `detach`, `torch.no_grad`, NumPy or an operation in place.
    """
    x, level = draw_images(image_shape).requires_grad_(), torch.tensor([1, process.levels, 0])
    step, w, h = draw_images(image_shape, seed=1), draw_images(image_shape, seed=2), 1e-3

    def value(x: Tensor) -> Tensor:
        return (process.degrade(x, level, standard_normal=w) * w).flatten(1).sum(1)

    (slope,) = torch.autograd.grad(value(x).sum(), x)
    predicted = (slope * step).flatten(1).sum(1)
    with torch.no_grad():
        measured = (value(x + h * step) - value(x - h * step)) / (2 * h)
    assert_close(predicted[:, None], measured[:, None], 1e-5, "the slope by autograd against a finite difference")


def _draw_uniform(image_shape: Shape) -> Tensor:
    """Draw images of white noise, uniform in [-1, 1], of about VALUES values in all."""
    batch = max(200, VALUES // math.prod(image_shape))
    return (randn((batch, *image_shape), generator=seeded(0)) / math.sqrt(2)).erf()


def _assert_mean(values: Tensor, expected: float, what: str) -> None:
    """Assert that the mean of independent `values` is `expected` up to its standard error."""
    mean, slack = float(values.mean()), STANDARD_ERRORS * float(values.std()) / math.sqrt(len(values)) + 1e-6
    assert abs(mean - expected) <= slack, f"{what} {mean:.5g}, expected {expected:.5g} within {slack:.2g}"


def _assert_same_mean(real: Tensor, drawn: Tensor, left: float, what: str) -> None:
    """Assert that two samples have the same mean, up to standard errors and the gain `left` of the image."""
    slack = STANDARD_ERRORS * math.sqrt(float(real.var() + drawn.var()) / len(real)) + left**2 + 1e-6
    difference = abs(float(real.mean() - drawn.mean()))
    message = (
        f"{what}: {float(real.mean()):.4f} at level T, {float(drawn.mean()):.4f} of terminal(), within {slack:.1g}"
    )
    assert difference <= slack, message


def _variance(y: Tensor) -> Tensor:
    return (y - y.mean()).flatten(1).square().mean(1)


_STATISTICS = {
    "mean": lambda y: y.flatten(1).mean(1),
    "product with the next one in its row": lambda y: (y[..., 1:] * y[..., :-1]).flatten(1).mean(1),
    "product with the next one in its column": lambda y: (y[..., 1:, :] * y[..., :-1, :]).flatten(1).mean(1),
}

CHECKS = [
    noise_schedule, clean_level, mixed_levels, mean_fidelity, noise, terminal_law, randomness, purity, dtypes,
    gradients,
]  # fmt: skip
