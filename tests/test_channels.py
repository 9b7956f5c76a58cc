"""Grey models on colour images, and colour models on grey images."""

from __future__ import annotations

import warnings

import pytest
import torch
from analytic import Diagonal, GaussianRestorer
from networks import draw, unet
from rgmkit_downsample.process import MultiscaleProcess
from rgmkit_gan.networks.residual_unet import ResidualUNet
from rgmkit_noise.process import GaussianProcess

import rgmkit
from rgmkit.adapters import fit_prior
from rgmkit.adapters.channels import ChannelByChannel, MeanOfChannels, loses_colours
from rgmkit.core.network_prior import NetworkPrior
from rgmkit.core.prior import NoPrior
from rgmkit.core.random import Streams, seeded
from rgmkit.core.solver import Problem
from rgmkit.errors import IncompatibleError, PriorWarning


def test_a_grey_model_restores_each_channel():
    prior = unet()
    y, level, z = draw(2, 3, 11, 7), torch.tensor([1, 4]), draw(2, 3)
    answer = ChannelByChannel(prior, channels=3).restore(y, level, z=z)
    for c in range(3):
        torch.testing.assert_close(answer[:, c : c + 1], prior.restore(y[:, c : c + 1], level, z=z))
    for degradation, shape in [
        ("grayscale", (1, 3, 24, 17)),
        ("downsample", (1, 3, 24, 18)),
        ("inpaint", (1, 5, 9, 9)),
    ]:
        operator = rgmkit.degradation(degradation, noise=0.1)
        y = operator(draw(*shape).sigmoid(), generator=Streams(0, [0]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PriorWarning)  # grayscale loses colours
            solution = rgmkit.restore(y, operator, prior)
        assert solution.x.shape == shape and f"each of the {shape[1]} channels" in solution.notes[0]
    with pytest.raises(IncompatibleError, match="colour"):
        rgmkit.generate(prior, 1, shape=(3, 16, 16))


@pytest.mark.parametrize("process", [GaussianProcess(levels=4), MultiscaleProcess(levels=5)], ids=["gaussian", "multi"])
def test_a_colour_model_on_a_grey_image_sees_what_it_was_trained_on(process):
    """The channels that the network is shown have independent noise of the level, and the mean is the grey image."""
    seen = []

    class Recorder(torch.nn.Module):
        def forward(self, y, t, z):
            seen.append(y)
            return y

    inner = NetworkPrior(process=process, network=Recorder(), image_shape=(3, 16, 16))
    prior = MeanOfChannels(inner, size=(16, 24))
    x = torch.full((400, 1, 16, 24), 0.75)
    for s in (1, process.levels):
        y = prior.degrade(x, s, generator=seeded(s))
        answer = prior.restore(y, s, generator=seeded(s, 1))
        torch.testing.assert_close(answer, 0.5 + 0.5 * y)  # the mean is kept
        noise = (seen[-1] - float(process.a_by_level[s]) * 0.5).transpose(0, 1)[..., ::4, ::4].flatten(1)
        sigma, slack = float(process.sigma_by_level[s]), 5 / noise.shape[1] ** 0.5
        torch.testing.assert_close(noise.cov() / sigma**2, torch.eye(3), atol=1.5 * slack, rtol=0)
        assert prior.level_std(s) == pytest.approx(inner.level_std(s) / 3**0.5)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_a_colour_model_restores_bands_each_as_a_grey_photograph(channels):
    """With the exact restorer of white data the answer is the exact one for each band."""
    colour = GaussianRestorer((3, 4, 6), mean=0.2, std=0.3, sample=False)
    y, grey = torch.rand(2, channels, 4, 6, generator=seeded(0)), MeanOfChannels(colour, size=(4, 6))
    bands, _ = fit_prior(colour, tuple(y.shape), like=y)
    whole = bands.restore(y, 2, generator=seeded(1))
    for c in range(channels):
        torch.testing.assert_close(whole[:, c : c + 1], grey.restore(y[:, c : c + 1], 2, generator=seeded(2)))
    solution = rgmkit.restore(y, "gaussian-noise:noise=0.1", colour)
    assert solution.x.shape == y.shape and f"each of the {channels} channels is restored as grey" in solution.notes[0]


def test_a_colour_model_restores_a_grey_photograph():
    """With the exact restorer of white data the answer is the exact one, whatever is drawn for the colours."""
    colour = GaussianRestorer((3, 4, 6), mean=0.2, std=0.3, sample=False)
    grey = GaussianRestorer((1, 4, 6), mean=0.2, std=0.3, sample=False)
    prior = MeanOfChannels(colour, size=(4, 6))
    y = prior.degrade(torch.rand(2, 1, 4, 6, generator=seeded(0)), 2, generator=seeded(1))
    torch.testing.assert_close(prior.restore(y, 2, generator=seeded(2)), grey.restore(y, 2))
    solution = rgmkit.restore(torch.rand(1, 4, 6, generator=seeded(0)), "gaussian-noise:noise=0.1", colour, seed=1)
    assert solution.x.shape == (1, 4, 6) and "three equal channels" in solution.notes[0]
    tiled = rgmkit.restore(torch.rand(1, 130, 9, generator=seeded(0)), "gaussian-noise:noise=0.1", unet(3), tile=20)
    assert len(tiled.notes) == 2


@pytest.mark.parametrize("gain, lost", [(0.0, True), (1e-4, True), (0.03, False)])
def test_colours_that_are_hardly_measured_are_lost(gain, lost):
    degradation = Diagonal(torch.tensor([1.0, 1.0, gain]).reshape(3, 1, 1))
    problem = Problem.from_measurement(torch.zeros(1, 3, 9, 8), degradation, NoPrior())
    assert loses_colours(problem) == lost


@pytest.mark.parametrize(
    "spec", ["grayscale:noise=0.1", "grayscale:weights=[2,1,0],noise=0.1", "downsample:noise=0.1", "inpaint:noise=0.1"]
)
def test_lost_colours_are_said_unless_the_prior_models_them(spec):
    degradation, lost = rgmkit.degradation(spec), "grayscale" in spec
    y = degradation.A(draw(1, 3, 16, 18).sigmoid().float())
    colour = unet(3, network=ResidualUNet, channels=(1, 3), widths=(8,), down=(1,), up=())
    for prior in (None, "tikhonov", unet(), colour):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            solution = rgmkit.restore(y, degradation, prior)
        said = [str(each.message) for each in caught if each.category is PriorWarning]
        assert len(said) == (lost and prior is not colour)
        assert all("loses colours" in note and "--prior photographs," in note for note in said)
        assert all(note in solution.notes for note in said)
        assert any("for colour photographs photographs is" in note for note in solution.notes) == (
            getattr(prior, "channels", None) == (1,)
        )


def test_an_operator_that_gives_nan_is_refused_for_colour_images_too():
    class Broken(rgmkit.Degradation):
        def A(self, x):
            return x * float("nan")

    with pytest.raises(IncompatibleError, match="not finite"):
        rgmkit.restore(torch.rand(3, 8, 8, generator=seeded(0)), Broken(noise=0.1), "tikhonov")


def test_a_channel_that_is_not_measured_starts_from_the_mean_of_the_others():
    y = torch.full((1, 1, 5, 6), 0.8)
    start = rgmkit.degradation("grayscale:weights=[0,1,1]").initial_estimate(y)
    torch.testing.assert_close(start, torch.full((1, 3, 5, 6), 0.4))


def test_a_network_for_grey_and_colour_takes_both_as_they_are():
    prior = unet(3, network=ResidualUNet, channels=(1, 3), widths=(8,), down=(1,), up=())
    degradation = rgmkit.degradation("gaussian-noise:noise=0.1")
    for channels in (1, 3):
        y = torch.rand(1, channels, 130, 31, generator=seeded(channels))
        solution = rgmkit.restore(y, degradation, prior)
        assert solution.notes == ()
        tiled = rgmkit.restore(y, degradation, prior, tile=24)
        assert len(tiled.notes) == 1
        torch.testing.assert_close(tiled.x, solution.x, atol=1e-5, rtol=0)
    y = torch.rand(1, 2, 9, 11, generator=seeded(2))
    degradation = degradation.with_noise(1.1 * prior.level_std(1))  # below level 1 the channels share one weight
    solution, first = (rgmkit.restore(each, degradation, prior, solver="one-shot") for each in (y, y[:, :1]))
    assert "each of the 2 channels" in solution.notes[0] and first.notes == ()
    torch.testing.assert_close(solution.x[:, :1], first.x)
    with pytest.raises(IncompatibleError, match="trained on colour"):
        prior.check_shape((2, 9, 11))
