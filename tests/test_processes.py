"""Forward processes: the published numbers, the conformance checks, and the ladders."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from rgmkit_blur.blur import Blur
from rgmkit_downsample.downsample import Downsample
from rgmkit_downsample.process import MultiscaleProcess
from rgmkit_noise.process import GaussianProcess

import rgmkit
import rgmkit.testing
from rgmkit.core.process import noise_schedule
from rgmkit.core.severity import SeverityProcess
from rgmkit.errors import ConfigError, IncompatibleError

REFERENCE = Path(__file__).parents[2] / "shared" / "reference" / "forward_processes.npz"


class Views(rgmkit.Degradation):
    """Four blurred views of an image, beside each other: more values than pixels."""

    def A(self, x):
        return torch.cat([x.roll(i, -2) / 2 + x / 2 for i in range(4)], -1)

    def image_shape(self, y_shape):
        return *y_shape[:-1], y_shape[-1] // 4

    def embed(self, y):
        return torch.stack(y.chunk(4, -1)).mean(0)


PROCESSES = {
    "gaussian": GaussianProcess(levels=4),
    "gaussian geometric": GaussianProcess(levels=3, schedule="geometric", r_first=0.2, r_last=2),
    "gaussian one level": GaussianProcess(levels=1, schedule="geometric"),
    "multiscale odd": MultiscaleProcess(levels=7),
    "multiscale even": MultiscaleProcess(levels=4),
    "multiscale geometric": MultiscaleProcess(levels=5, schedule="geometric", r_first=0.3, r_last=2),
    "severity": SeverityProcess(degradation=Blur(std=2.0), levels=4),
    "severity of three values": SeverityProcess(degradation=Blur(std=2.0), levels=3, severities=(0, 0.5, 1)),
    "severity, fewer values": SeverityProcess(degradation=Downsample(factor=2, filter="bicubic"), schedule="geometric"),
    "severity, more values": SeverityProcess(degradation=Views(), schedule="geometric"),
    "severity of version 0.1": SeverityProcess(degradation=Blur(std=2.0), levels=4, severities=None),
}


@pytest.mark.parametrize("check", rgmkit.testing.checks("process"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", PROCESSES)
def test_conformance(name, check):
    check(PROCESSES[name], (1, 16, 24))


@pytest.mark.parametrize("check", rgmkit.testing.checks("process"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("size", [(13, 22), (3, 9)], ids=str)
def test_conformance_of_resolutions_at_any_size(size, check):
    check(MultiscaleProcess(levels=7), (1, *size))


def test_blocks_that_the_border_cuts():
    """Each block is its average, by brute force, and each pixel's noise has the std that is stated."""
    process, size = MultiscaleProcess(levels=7), (11, 6)
    x = torch.rand(8, 2, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    level = torch.arange(8)
    mean, expected = process.mean(x, level), x * process.a(level).reshape(-1, 1, 1, 1)
    response = process.shape_noise(
        torch.eye(66, dtype=torch.float64).reshape(1, 66, *size).expand(8, -1, -1, -1), level
    )
    for s in range(2, 8):
        side = 2 ** (s // 2)
        for i, j in itertools.product(range(0, size[0], side), range(0, size[1], side)):
            block = (s, slice(None), slice(i, i + side), slice(j, j + side))
            expected[block] = expected[block].mean((-2, -1), keepdim=True)
    torch.testing.assert_close(mean, expected)
    std = process.sigma(level).double().reshape(-1, 1, 1).expand(-1, *size)
    torch.testing.assert_close(response.square().sum(1).sqrt(), std)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the published numbers are not here")
@pytest.mark.parametrize("key, process", [("ddpm", GaussianProcess(levels=4)), ("sr", MultiscaleProcess(levels=7))])
def test_published_levels_and_fidelities(key, process):
    numbers = {name: torch.from_numpy(value) for name, value in np.load(REFERENCE).items()}
    for s in range(process.levels + 1):
        level, y = torch.full((2,), s), numbers[f"{key}_y_{s}"]
        torch.testing.assert_close(
            process.degrade(numbers["x0"], level, standard_normal=numbers["noise"]), y, atol=1e-5, rtol=0
        )
        if s:
            fidelity = process.fidelity(numbers["x_hat"], y, level)
            torch.testing.assert_close(fidelity, numbers[f"{key}_fidelity_{s - 1}"], rtol=1e-5, atol=0)


def test_multiscale_noise_of_the_paper():
    sigma = MultiscaleProcess(levels=7).sigma(torch.arange(8))
    table = torch.tensor([0, 1.383120, 0.691560, 1.919713, 0.959856, 1.996568, 0.998284, 1.999957])
    torch.testing.assert_close(sigma, table, atol=2e-6, rtol=0)


def test_terminal_of_an_operator_that_moves_grey():
    """Where the operator blackens half of the image, level T does so too: the terminal draw must."""

    class Half(rgmkit.Degradation):
        def A(self, x):
            return x * (torch.arange(x.shape[-1]) % 2)

    process = SeverityProcess(degradation=Half(), severities=None)
    y = process.terminal((400, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(y.mean((0, 1, 2)), torch.tensor([-1.0, 0, -1, 0]), atol=0.1, rtol=0)


def test_ladders():
    a, sigma = noise_schedule("geometric", 4, r_first=0.1, r_last=1.2)
    ratios = np.array(sigma[1:]) / np.array(a[1:])
    np.testing.assert_allclose(ratios, [0.1, np.sqrt(0.12), 1.2, 150], rtol=1e-9)
    np.testing.assert_allclose(np.square(a) + np.square(sigma), 1)
    for wrong in ({"schedule": "linear"}, {"levels": 0}, {"schedule": "geometric", "r_first": 2, "r_last": 1}):
        with pytest.raises(ConfigError):
            noise_schedule(**{"schedule": "vp", "levels": 4, **wrong})
    with pytest.raises(IncompatibleError, match="works on images"):
        MultiscaleProcess(levels=7).mean(torch.zeros(4, 2), torch.tensor([1]))


def test_the_level_below_given_an_answer():
    """The coefficients of denoising diffusion GANs, T = 4; with eta 0 the noise that is there is kept, in its share."""
    process, level = GaussianProcess(levels=4), torch.tensor([1, 2, 3, 4])
    one, none = torch.ones(4, 1, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)
    parts = [(one, none, none), (none, one, none), (none, none, one)]  # of x_hat, y and new noise
    x, y, e = (process.descend(*part[:2], level, 1.0, standard_normal=part[2])[:, 0] for part in parts)
    np.testing.assert_allclose(x, [1, 0.665778, 0.269191, 0.057822], atol=2e-6)
    np.testing.assert_allclose(y, [0, 0.201576, 0.193001, 0.111852], atol=2e-6)
    np.testing.assert_allclose(e.square(), [0, 0.440819, 0.884202, 0.984061], atol=2e-6)
    half = process.descend(none, none, level, 0.5, standard_normal=one)[:, 0]
    torch.testing.assert_close(half, e / 2)  # the variance of what is drawn is eta^2 times that of eta 1
    noisy = process.degrade(0.3 * one, level, standard_normal=-1.5 * one)
    below = process.degrade(0.3 * one, level - 1, standard_normal=-1.5 * one)
    torch.testing.assert_close(process.descend(0.3 * one, noisy, level, 0.0, standard_normal=one), below)
    with pytest.raises(IncompatibleError, match="MultiscaleProcess does not know the distribution"):
        MultiscaleProcess(levels=7).descend(one, one, level, 1.0, standard_normal=one)


@pytest.mark.parametrize("signal", [False, True])
def test_the_noise_of_a_severity_process_is_that_of_the_noise_model(signal):
    """Its mean std is that of the level, distributed as the model says; white at severity 0."""
    ramp = torch.linspace(0.2, 1, 64).expand(1, 64, 64)
    noise = rgmkit.noise("poisson", photons=50) if signal else rgmkit.noise("per-pixel", std=ramp.sqrt())
    degradation = rgmkit.degradation("gaussian-noise", noise=noise)
    process = rgmkit.process("severity", degradation=degradation, schedule="geometric", r_first=0.3, r_last=0.5)
    x = (2 * ramp - 1).expand(64, 1, 64, 64)
    white, shaped = (
        process.degrade(x, process.full_level(s, x), generator=torch.Generator().manual_seed(s)) for s in (1, 2)
    )
    a, sigma = float(process.a_by_level[2]), float(process.sigma_by_level[2])
    assert process.severity_by_level[1:3].tolist() == [0, 1]
    torch.testing.assert_close((white - a * x).std(), torch.tensor(sigma), rtol=0.02, atol=0)
    columns = (shaped - a * x).square().mean((0, 1, 2))
    torch.testing.assert_close(columns.mean().sqrt(), torch.tensor(sigma), rtol=0.02, atol=0)
    torch.testing.assert_close(columns / columns.mean(), ramp[0, 0] / ramp.mean(), rtol=0.12, atol=0)
