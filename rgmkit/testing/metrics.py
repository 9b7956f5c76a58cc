"""Checks of metrics: `check(metric, image_shape)`, with `image_shape` (C, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor

from rgmkit.core.metric import Metric
from rgmkit.testing.measure import (
    assert_close,
    assert_pure,
    draw_images,
    one_by_one,
    show,
    skip,
)

CLOSE = 1e-4  # relative

Shape = tuple[int, ...]


def description(metric: Metric, image_shape: Shape) -> None:
    """`name`, `unit`, `decimals` and `higher_is_better` say how values are shown and compared.

    Likely cause: an attribute of the class is misspelt, or of another type.
    """
    found = metric.info
    for value, kind in [(found.name, str), (found.unit, str), (found.decimals, int), (found.higher_is_better, bool)]:
        assert type(value) is kind, f"{value!r} in {found} is not a {kind.__name__}"
    assert found.name and found.decimals >= 0, f"{found} has no name, or a negative number of decimals"


def values(metric: Metric, image_shape: Shape) -> None:
    """There is one finite number for each image, of the type of the images.

    Likely cause: a mean over the batch: take it over the axes 1, 2 and 3.
    """
    x, truth = _images(metric, image_shape)
    found = metric(x, truth)  # which checks the shape
    assert found.is_floating_point(), f"the values are {found.dtype}"
    assert bool(found.isfinite().all()), f"the values are {show(found)}"


def one_image_at_a_time(metric: Metric, image_shape: Shape) -> None:
    """The value of an image does not depend on its batch.

    Likely cause: a mean, minimum or maximum over the batch: take it over the axes 1, 2 and 3.
    """
    x, truth = _images(metric, image_shape)
    each = one_by_one(metric, x) if truth is None else one_by_one(metric, x, truth)
    assert_close(metric(x, truth)[:, None], each[:, None], CLOSE, "the values of a batch against one image at a time")


def order(metric: Metric, image_shape: Shape) -> None:
    """The image nearer to the true one has the better value.

    Likely cause: `higher_is_better` is wrong, or the sign of the values.
    """
    x, truth = _images(metric, image_shape)
    if truth is None:
        skip(f"{metric.name} looks at the image alone")
    near, far = metric(truth + (x - truth) / 4, truth), metric(x, truth)
    right = bool((near > far).all() if metric.higher_is_better else (near < far).all())
    better = "higher" if metric.higher_is_better else "lower"
    assert right, f"it is {show(near)} near the true image and {show(far)} far from it, and {better} is better"


def precision(metric: Metric, image_shape: Shape) -> None:
    """Images in float64 have the values of those in float32, up to rounding.

    Likely cause: a tensor of a fixed type: use `.to(x)`.
    """
    x, truth = _images(metric, image_shape)
    wide = metric(x.double(), None if truth is None else truth.double())
    assert_close(metric(x, truth).double()[:, None], wide.double()[:, None], 1e-3, "float32 against float64")


def purity(metric: Metric, image_shape: Shape) -> None:
    """The same images have the same value, and are not changed; global generators are not used.

    Likely cause: an operation in place, or a random number.
    """
    x, truth = _images(metric, image_shape)
    assert_pure(metric, lambda: metric(x, truth), "the metric", x, *([] if truth is None else [truth]))


def _images(metric: Metric, image_shape: Shape) -> tuple[Tensor, Tensor | None]:
    """Return noisy images, (3, C, H, W), and the true ones if the metric needs them."""
    truth = draw_images(image_shape).sigmoid().float()
    noisy = truth + 0.1 * draw_images(image_shape, seed=1).float()
    return torch.clamp(noisy, 0, 1), truth if metric.needs_truth else None


CHECKS = [description, values, one_image_at_a_time, order, precision, purity]
