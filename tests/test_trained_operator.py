"""Networks trained on an operator restore its measurements, which they get as the degraded images that they are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import torch
from analytic import ExactRestorer, matrix
from rgmkit_blur.blur import Blur
from rgmkit_downsample.downsample import Downsample
from rgmkit_downsample.process import MultiscaleProcess
from rgmkit_gan.networks.residual_unet import ResidualUNet
from rgmkit_gan.networks.unet import UNet
from rgmkit_jpeg.jpeg import Jpeg
from rgmkit_noise.noise import GaussianNoise
from rgmkit_noise.process import GaussianProcess

import rgmkit
from rgmkit.config import build
from rgmkit.core.random import seeded
from rgmkit.core.severity import SeverityProcess
from rgmkit.core.solver import Problem
from rgmkit.errors import ConfigError
from rgmkit.models.build import Images, build_prior
from rgmkit.models.folder import save
from rgmkit.models.lookup import set_boundaries
from rgmkit.training.checkpoint import fingerprint
from rgmkit.training.configuration import read_configuration

SHAPE = (1, 6, 8)
SCHEDULE = {"levels": 4, "schedule": "geometric", "r_first": 0.1, "r_last": 1.5}


def load_rain():
    file = Path(__file__).parents[1] / "examples" / "rgmkit_rain" / "rgmkit_rain" / "rain.py"
    spec = importlib.util.spec_from_file_location("rain_of_the_example", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Rain(density=0.1, opacity=0.9, length=4)


class Smear(rgmkit.Degradation):
    """Of a third party: the mean of three neighbours, without those that lie over the border."""

    def A(self, x):
        return x.unfold(-1, 3, 1).mean(-1)

    def image_shape(self, y_shape):
        return *y_shape[:-1], y_shape[-1] + 2

    def embed(self, y):
        return torch.cat([y[..., :1], y, y[..., -1:]], -1)


class Shift(rgmkit.Degradation):
    """Loses nothing."""

    def A(self, x):
        return x.roll(1, -1)


OPERATORS = {
    "blur": Blur(std=1.0),
    "downsample": Downsample(factor=2),
    "bicubic": Downsample(factor=2, filter="bicubic"),
    "rain": load_rain(),
    "smear": Smear(),
}


def draw(prior, n=40):
    factor = torch.linalg.cholesky(prior.covariance + 1e-9 * torch.eye(len(prior.covariance)))
    return 0.5 + (torch.randn(n, len(factor), generator=seeded(0), dtype=torch.float64) @ factor.T).reshape(n, *SHAPE)


def measure(degradation, x, noise):
    degradation = degradation.with_noise(noise).double()
    return degradation, degradation(x, generator=seeded(1))


def exact(prior, degradation, y):
    """The posterior mean given y."""
    A = matrix(degradation, *SHAPE)
    return prior.posterior_mean(y, A, degradation.noise * torch.eye(len(A)), torch.zeros(1)).reshape(-1, *SHAPE)


def error(one, other):
    return float((one - other).square().mean().sqrt())


@pytest.mark.parametrize("name", OPERATORS)
def test_a_measurement_is_fed_as_it_is(name):
    """With the noise of a level, a perfect network returns the posterior mean given the measurement."""
    prior = ExactRestorer(SeverityProcess(degradation=OPERATORS[name], **SCHEDULE), SHAPE)
    problem = Problem.from_measurement(*measure(OPERATORS[name], draw(prior), 0.05)[::-1], prior)
    assert [found.level for found in problem.operator_levels] == [2, 4]
    for found in problem.operator_levels:
        degradation, y = measure(OPERATORS[name], draw(prior), found.noise)
        restored = rgmkit.restore(y, degradation, prior, solver="one-shot")
        assert restored.nfe == 1
        torch.testing.assert_close(restored.x, exact(prior, degradation, y), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_default_uses_it(name):
    """The default is nearer to the exact answer than with a generic network, which is perfect, too."""
    prior = ExactRestorer(SeverityProcess(degradation=OPERATORS[name], **SCHEDULE), SHAPE)
    generic = ExactRestorer(GaussianProcess(**SCHEDULE), SHAPE)
    problem = Problem.from_measurement(*measure(OPERATORS[name], draw(prior), 0.05)[::-1], prior)
    degradation, y = measure(OPERATORS[name], draw(prior), problem.operator_levels[0].noise)
    best = exact(prior, degradation, y)
    ours, theirs = (rgmkit.restore(y, degradation, each).x for each in (prior, generic))
    assert error(ours, best) < 0.85 * error(theirs, best)


@pytest.mark.parametrize("factor", [1.0, 0.6])
def test_pnp_drs_starts_from_the_estimate_and_averages_with_it(factor):
    """All iterations are at the last std; the weight of the estimate is half of (noise / least noise)^2."""
    prior, estimates = ExactRestorer(SeverityProcess(degradation=OPERATORS["blur"], **SCHEDULE), SHAPE), []
    degradation, y = measure(OPERATORS["blur"], draw(prior), factor * 0.05)
    start = rgmkit.restore(y, degradation, prior, solver="one-shot").x
    solution = rgmkit.restore(y, degradation, prior, callback=lambda k, n, x: estimates.append(x))
    expected = estimates[-1] + factor**2 / 2 * (start - estimates[-1])
    torch.testing.assert_close(solution.x, expected, atol=1e-4, rtol=0)
    assert len({row["sigma"] for row in solution.trace}) == 1


def test_one_iteration_suffices_where_nothing_is_lost():
    """pnp-drs denoises once, from the initial estimate, which is exact."""
    prior = ExactRestorer(SeverityProcess(degradation=Shift(), **SCHEDULE), SHAPE)
    degradation, y = measure(Shift(), draw(prior), prior.level_std(1))
    assert Problem.from_measurement(y, degradation, prior).operator_levels
    solution = rgmkit.restore(y, degradation, prior, solver="pnp-drs")
    assert solution.nfe == 1
    torch.testing.assert_close(solution.x, exact(prior, degradation, y), atol=1e-4, rtol=0)


@pytest.mark.parametrize("weight", [0.5, 0.1])
def test_between_two_levels_their_estimates_are_interpolated(weight):
    prior = ExactRestorer(SeverityProcess(degradation=OPERATORS["blur"], **SCHEDULE), SHAPE)
    noise = 0.05 * (level_stds(prior)[1] / 0.05) ** weight
    degradation, y = measure(OPERATORS["blur"], draw(prior), noise)
    restored = rgmkit.restore(y, degradation, prior, solver="one-shot")
    low, high = (exact(prior, degradation.with_noise(std), y) for std in level_stds(prior)[:2])
    assert restored.nfe == 2
    torch.testing.assert_close(restored.x, low.lerp(high, weight), atol=1e-4, rtol=0)


def test_beyond_the_levels_the_nearest_one_is_taken():
    prior = ExactRestorer(SeverityProcess(degradation=OPERATORS["blur"], **SCHEDULE), SHAPE)
    least, most = level_stds(prior)
    for noise, level in [(0.1 * least, least), (1.9 * most, most), (2.1 * most, None)]:
        degradation, y = measure(OPERATORS["blur"], draw(prior), noise)
        restored = rgmkit.restore(y, degradation, prior, solver="one-shot").x
        difference = error(restored, exact(prior, degradation.with_noise(level or most), y))
        assert difference < 1e-4 if level else difference > 1e-2


@pytest.mark.parametrize("factor, starts", [(1.0, True), (0.5, True), (0.3, False), (0.1, False)])
def test_much_less_noise_than_in_training(factor, starts):
    """The network's estimate of y would be too smooth: the result is that of a generic network."""
    prior = ExactRestorer(SeverityProcess(degradation=OPERATORS["blur"], **SCHEDULE), SHAPE)
    generic = ExactRestorer(GaussianProcess(**SCHEDULE), SHAPE)
    degradation, y = measure(OPERATORS["blur"], draw(prior), factor * 0.05)
    ours, theirs = (rgmkit.restore(y, degradation, each).x for each in (prior, generic))
    assert (error(ours, theirs) > 1e-4) == starts


def test_other_operators_are_restored_as_by_a_generic_network():
    """At severity 0 both networks denoise at the same levels."""
    prior = ExactRestorer(SeverityProcess(degradation=OPERATORS["blur"], **SCHEDULE), SHAPE)
    generic = ExactRestorer(GaussianProcess(**SCHEDULE), SHAPE)
    for other in (Blur(std=1.3), Smear(), Downsample(factor=2)):
        degradation, y = measure(other, draw(prior), 0.05)
        ours, theirs = (rgmkit.restore(y, degradation, each).x for each in (prior, generic))
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_networks_start_as_if_the_operator_lost_some_of_the_image():
    process = SeverityProcess(degradation=OPERATORS["blur"], **SCHEDULE)
    lost = torch.tensor([0, 0, 0.3, 0, 0.3, 0, 0])  # levels of severity 1
    torch.testing.assert_close(process.error_by_level, (process.sigma_by_level.square() + lost.square()).sqrt())


def test_severities_in_between_are_operators_too():
    """A blur of half the std is the same degradation at severity 1/2."""
    process = SeverityProcess(degradation=OPERATORS["blur"], severities=(0, 0.5, 1), **SCHEDULE)
    prior = ExactRestorer(process, SHAPE)
    for std, levels in [(0.5, [2, 5]), (1.0, [3, 6]), (0.7, [])]:
        problem = Problem.from_measurement(*measure(Blur(std=std), draw(prior), 0.05)[::-1], prior)
        assert [found.level for found in problem.operator_levels] == levels


def test_operators_that_are_not_linear_are_recognised():
    """The measurement of a JPEG file of the same quality goes to the network; of another, its own levels do not fit."""
    prior = ExactRestorer(SeverityProcess(degradation=Jpeg(quality=10), **SCHEDULE), SHAPE)
    for quality, levels in [(10, [2, 4]), (50, [])]:
        problem = Problem.from_measurement(draw(prior), Jpeg(quality=quality, noise=0.05), prior)
        assert [found.level for found in problem.operator_levels] == levels


def test_multiscale_levels_restore_downsampled_images():
    """Levels 2 and 3 hold half of the resolution, with the noise of the coarse pixels."""
    prior = ExactRestorer(MultiscaleProcess(**SCHEDULE), SHAPE)
    degradation, y = measure(OPERATORS["downsample"], draw(prior), prior.level_std(2))
    problem = Problem.from_measurement(y, degradation, prior)
    assert [found.level for found in problem.operator_levels] == [2, 3]
    restored = rgmkit.restore(y, degradation, prior, solver="one-shot").x
    torch.testing.assert_close(restored, exact(prior, degradation, y), atol=1e-4, rtol=0)


def test_multiscale_denoises_by_the_noise_before_averaging():
    """Level 3 is for 4 times the std of its pixels; with the noise of its pixels, level 1 would be taken above it."""
    prior = ExactRestorer(MultiscaleProcess(levels=5, schedule="geometric", r_first=0.1, r_last=0.4), SHAPE)
    levels, stds = prior.process.denoising_levels()
    assert levels.tolist() == [1, 3, 5]
    torch.testing.assert_close(stds[:2].double(), torch.tensor([0.2, 1.6], dtype=torch.float64))
    for level, std in zip(levels.tolist(), (0.5 * stds).tolist(), strict=True):
        x = draw(prior)
        noisy = x + std * torch.randn(x.shape, generator=seeded(2), dtype=torch.float64)
        torch.testing.assert_close(prior.denoise(noisy, std), prior.restore(prior.level_mean(noisy, level), level))
        assert prior.evaluations(std) == 1


def test_multiscale_iterates_at_its_only_level_of_full_resolution():
    """Between levels 1 and 3 it would blend in estimates of half the resolution."""
    priors = [ExactRestorer(process, SHAPE) for process in (MultiscaleProcess(**SCHEDULE), GaussianProcess(**SCHEDULE))]
    degradation, y = measure(OPERATORS["blur"], draw(priors[0]), 0.06)
    last = []
    for prior in priors:
        restored = rgmkit.restore(y, degradation, prior, solver="pnp-drs:tolerance=0")
        last.append(restored.trace[-1]["sigma"] / prior.level_std(1))
    assert last[0] == pytest.approx(1) and last[1] > 1.1
    noisy, y = measure(GaussianNoise(), draw(priors[0]), 0.15)
    restored = rgmkit.restore(y, noisy, priors[0])
    assert restored.trace[-1]["sigma"] == pytest.approx(0.15)  # to denoise, it takes the std of the noise


def test_severities_are_checked():
    for severities in ((0,), (0, 0.5), (0.5, 1), (0, 1, 0.5), (0, 0, 1)):
        with pytest.raises(ConfigError, match="severities"):
            SeverityProcess(degradation=Blur(std=1.0), severities=severities)


@pytest.mark.parametrize("network", [UNet, ResidualUNet])
def test_networks_tell_severities_apart(network):
    process = SeverityProcess(degradation=Blur(std=1.0), **SCHEDULE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = network(process=process, image_shape=(1, 16, 16))
    y, z = torch.rand(1, 1, 16, 16, generator=seeded(0)), torch.zeros(1, made.latent)
    with torch.no_grad():
        one, other = (made.correct(y, torch.zeros_like(y), torch.tensor([t])) for t in (0, 1))
        torch.testing.assert_close(one, other)  # levels 1 and 2 have the same gain
        one, other = (made.correct(y, torch.ones_like(y), torch.tensor([t])) - one for t in (0, 1))
        assert other.mean() > 2 * one.mean()  # there is more to add where an operator loses information
        one, other = (made(y, torch.tensor([t]), z) - process.a(torch.tensor(1)) * y for t in (0, 1))
    assert not torch.allclose(one / one.norm(), other / other.norm(), atol=1e-3)


def test_model_folders_of_version_0_1_are_read(tmp_path):
    """Their severity rises with the noise; new folders name their severities, so that no default changes them."""
    config = {
        "data": "digits",
        "network": {"use": "unet", "width": 8, "blocks": 1, "latent": 0},
        "process": {"use": "severity", "levels": 3, "degradation": {"use": "blur", "std": 1.0}},
        "objective": "mmse",
        "training": {"steps": 1, "batch": 2, "preview_every": 0},
    }
    old = {**config, "process": {**config["process"], "severities": None}}
    for name, given, severities in [("new", config, [0, 1, 0, 0]), ("old", old, [1 / 3, 2 / 3, 1])]:
        run = read_configuration(given)
        process = build("process", run.content["process"])
        prior = build_prior({**run.content, "images": {"shape": [1, 16, 16]}}, process=process)
        save(tmp_path / name, prior, run.content, {})
        file = tmp_path / name / "config.yaml"
        assert "severities" in file.read_text() and "boundary: reflect" in file.read_text()
        if name == "old":
            file.write_text(re.sub(r" *(severities: null|boundary: reflect)\n", "", file.read_text()))
        assert ("severities" in file.read_text()) == ("boundary" in file.read_text()) == (name == "new")
        read = rgmkit.load(tmp_path / name).process
        torch.testing.assert_close(read.severity_by_level[1:], torch.tensor(severities, dtype=torch.float32))
        assert read.degradations[1].boundary == {"new": "reflect", "old": "circular"}[name]
    x, level = torch.rand(3, 1, 6, 8, generator=seeded(0)) * 2 - 1, torch.tensor([1, 2, 3])
    scaled = (x * read.a(level).reshape(-1, 1, 1, 1) + 1) / 2
    means = torch.cat([Blur(std=s / 3, boundary="circular").A(each) for s, each in enumerate(scaled.split(1), 1)])
    torch.testing.assert_close(read.mean(x, level), 2 * means - 1)


def test_a_run_of_version_0_1_is_resumed():
    """Its checkpoint names no severities, which is the same as none."""
    process = {"use": "severity", "degradation": "blur"}
    old, named, new = ({"process": {**process, **more}} for more in ({}, {"severities": None}, {"severities": [0, 1]}))
    assert fingerprint(old) == fingerprint(named) != fingerprint(new)


def test_a_run_of_version_0_1_is_resumed_with_a_circular_boundary():
    for wrap in (lambda blur: blur, lambda blur: {"use": "compose", "of": ["downsample", blur]}):
        blurs = ({"use": "blur", **more} for more in ({}, {"boundary": "circular"}, {"boundary": "reflect"}))
        old, named, new = (
            fingerprint({"process": {"use": "severity", "severities": [0, 1], "degradation": wrap(blur)}})
            for blur in blurs
        )
        assert old == named != new


def test_every_blur_of_a_process_names_its_boundary():
    steps = ["blur:std=2", {"use": "motion-blur", "boundary": "circular"}, "downsample"]
    given = {"process": {"use": "severity", "degradation": {"use": "compose", "of": steps}}}
    named = set_boundaries(given, "reflect")["process"]["degradation"]["of"]
    assert named == [{"use": "blur", "boundary": "reflect", "std": 2}, steps[1], "downsample"]
    assert set_boundaries({"process": "gaussian"}, "reflect") == {"process": "gaussian"}


def level_stds(prior):
    return [prior.level_std(2), prior.level_std(4)]


class Saturating(rgmkit.Degradation):
    """Not linear."""

    linear = False

    def A(self, x):
        return 1 - torch.exp(-2 * x)


def test_a_network_for_an_operator_that_is_not_linear_is_used_by_default():
    torch.manual_seed(0)
    prior = build_prior(
        {"network": {"use": "unet", "width": 8, "multipliers": [1], "blocks": 1, "latent": 2}},
        process=SeverityProcess(degradation=Saturating(), **SCHEDULE),
        images=Images(SHAPE),
    )
    problem = Problem.from_measurement(torch.rand(2, *SHAPE, generator=seeded(0)), Saturating(noise=0.05), prior)
    assert problem.operator_levels
    noise = problem.operator_levels[0].noise
    solution = rgmkit.restore(problem.y, Saturating(noise=noise), prior)
    expected = rgmkit.restore(problem.y, Saturating(noise=noise), prior, solver="one-shot")
    assert torch.equal(solution.x, expected.x) and solution.nfe == expected.nfe
