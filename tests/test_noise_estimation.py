"""Noise that is not given is estimated from the measurement."""

from __future__ import annotations

import pytest
import torch
from pictures import CAMERA
from skimage.data import chelsea
from torch.nn.functional import avg_pool2d

import rgmkit
from rgmkit.core.random import Streams
from rgmkit.errors import DataError


def measured(spec, x):
    degradation = rgmkit.degradation(spec) if isinstance(spec, str) else spec
    return degradation, degradation(x, generator=Streams(0, range(len(x))))


@pytest.mark.parametrize("operator", ["gaussian-noise:", "blur:std=1.5,", "downsample:factor=2,"])
@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_noise_is_estimated_within_15_percent_on_photographs(operator, noise):
    degradation, y = measured(f"{operator}noise={noise}", CAMERA)
    assert degradation.estimate_noise(y) == pytest.approx(noise, rel=0.15)
    colour = torch.from_numpy(chelsea() / 255).float().movedim(-1, 0)[None, :, :300, :450]
    degradation, y = measured(f"{operator}noise={noise}", colour)
    assert degradation.estimate_noise(y) == pytest.approx(noise, rel=0.15)


def test_the_estimate_leaves_out_what_is_even():
    degradation, y = measured("gaussian-noise:noise=0.05", torch.full((2, 1, 64, 64), 0.5))
    y[..., :40] = 0  # clipped
    assert degradation.estimate_noise(y) == pytest.approx(0.05, rel=0.1)
    assert degradation.estimate_noise(0 * y) == 0


@pytest.mark.parametrize("y", [torch.zeros(3, 2), torch.zeros(1, 1, 4, 9), torch.zeros(1, 1, 9, 9).cfloat()])
def test_what_has_no_details_has_no_estimate(y):
    with pytest.raises(DataError, match="give noise="):
        rgmkit.degradation("blur").estimate_noise(y)


@pytest.mark.parametrize("asked", ["blur:std=1", {"use": "blur", "std": 1}])
def test_noise_that_is_not_given_is_estimated_and_said(asked):
    small = avg_pool2d(CAMERA, 4)
    _, y = measured("blur:std=1,noise=0.05", small)
    solution = rgmkit.restore(y, asked, "tikhonov", solver="pgd:iterations=5")
    assert solution.noise == pytest.approx(0.05, rel=0.1)
    assert solution.notes == (f"noise estimated from the measurement: std {solution.noise:g}; to set it, give noise=",)
    known = rgmkit.restore(
        y, rgmkit.degradation("blur", std=1, noise=solution.noise), "tikhonov", solver="pgd:iterations=5"
    )
    assert torch.equal(solution.x, known.x) and known.notes == ()
    for given in ("blur:std=1,noise=0", rgmkit.degradation("blur:std=1")):
        solution = rgmkit.restore(y, given, "tikhonov", solver="pgd:iterations=1")
        assert (solution.noise, solution.notes) == (0, ())
    even = rgmkit.restore(torch.full((1, 32, 32), 0.5), asked, "tikhonov", solver="pgd:iterations=1")
    assert even.noise == 1e-3 and "no noise was found" in even.notes[0]
