"""deepinv's optimisers and priors as rgmkit's, and the bridge between the two."""

from __future__ import annotations

import subprocess
import sys

import deepinv
import pytest
import torch
from rgmkit_deepinv import pixelwise, requirements, scale, total_variation, wavelet
from rgmkit_deepinv.objects import from_deepinv
from rgmkit_deepinv.physics import Physics
from skimage.data import camera
from torch.nn.functional import avg_pool2d

import rgmkit
from rgmkit.core.linear import per_image
from rgmkit.core.random import Streams, seeded
from rgmkit.core.solver import Problem
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.testing import checks, toys

psnr = rgmkit.metric("psnr")

SHAPE = (2, 8, 12)
SOLVERS = ["pgd", "fista", "admm", "drs", "hqs"]
PRIORS = {
    "tv": lambda: total_variation.TV(weight=3),
    "tv-alone": lambda: total_variation.TV(steps=150),
    "tikhonov": lambda: pixelwise.Tikhonov(weight=2),
    "haar": lambda: wavelet.Wavelet(weight=2, wavelet="haar", levels=2),
    "l1-of-deepinv": lambda: from_deepinv(deepinv.optim.L1Prior(), weight=2),
    "haar-of-deepinv": lambda: from_deepinv(deepinv.optim.WaveletPrior(level=2, wv="haar")),
}


def images(*shape, seed=0):
    return torch.rand(shape, generator=seeded(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def photo():
    whole = torch.from_numpy(camera() / 255).float()[None, None]
    return avg_pool2d(whole, 8)


def restored(photo, spec, prior, **options):
    degradation = rgmkit.degradation(spec) if isinstance(spec, str) else spec
    y = degradation(photo, generator=seeded(1))
    before, solution = degradation.embed(y), rgmkit.restore(y, degradation, prior, **options)
    return float(psnr(before, photo).mean()), float(psnr(solution.x, photo).mean())


@pytest.mark.parametrize("check", checks("prior"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", PRIORS)
def test_priors_conform(name, check):
    check(PRIORS[name](), SHAPE)


@pytest.mark.parametrize("check", checks("solver"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_conform(name, check):
    check(rgmkit.solver(name))


def test_prox_of_tv_is_accurate_and_forgets_what_came_before():
    x, gamma = images(2, 2, 24, 20), torch.tensor([0.02, 0.2], dtype=torch.float64)
    tv = total_variation.TV(weight=2)
    first = tv.prox(x, gamma)
    exact = total_variation.TV(weight=2, steps=2000).prox(x, gamma)
    error = (first - exact).square().flatten(1).mean(1).sqrt()
    assert bool((error < 0.01 * 2 * gamma).all()), error
    tv.prox(1 - x, 0.1)
    assert torch.equal(first, tv.prox(x, gamma))


@pytest.mark.parametrize("size", [(16, 16), (15, 17), (33, 20), (3, 5), (1, 1)])
def test_wavelets_take_any_size(size):
    x = images(2, 1, *size)
    prior = rgmkit.prior("wavelet", weight=1)
    torch.testing.assert_close(prior.prox(x, 0), x)
    assert bool((prior.value(prior.prox(x, 0.1)) <= prior.value(x) + 1e-9).all())


def test_wavelets_without_ptwt_say_what_to_install(monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the package ptwt.*pip install 'rgmkit\[wavelet\]'"):
        rgmkit.prior("wavelet")


def test_wrong_options_are_named():
    with pytest.raises(ConfigError, match="did you mean 'sym4'"):
        rgmkit.prior("wavelet", wavelet="symm4")
    with pytest.raises(ConfigError, match="not orthogonal"):
        rgmkit.prior("wavelet", wavelet="bior2.2")
    with pytest.raises(ConfigError, match="weight is -1"):
        rgmkit.prior("tv", weight=-1)
    with pytest.raises(ConfigError, match="step is 0"):
        rgmkit.solver("admm", step=0)
    with pytest.raises(IncompatibleError, match="images"):
        rgmkit.prior("tv").value(torch.zeros(3, 2))


@pytest.mark.parametrize("name", ["pgd", "fista", "admm", "drs"])
@pytest.mark.parametrize("spec", ["blur:std=1,noise=0.1", "downsample:factor=2,noise=0.05"])
def test_solvers_reach_the_minimum(name, spec):
    degradation, prior = rgmkit.degradation(spec), pixelwise.Tikhonov(weight=20, center=0.4)
    y = degradation(images(3, *SHAPE), generator=seeded(1))
    exact = degradation.prox(torch.full((3, *SHAPE), 0.4, dtype=y.dtype), y, 1 / (20 * degradation.noise**2))
    solver = rgmkit.solver(name, iterations=3000, tolerance=1e-10)
    solution = solver.solve(Problem.from_measurement(y, degradation, prior))
    assert len(solution.trace) < 3000
    torch.testing.assert_close(solution.x, exact, rtol=0, atol=1e-6)


def test_hqs_with_a_fixed_step_ends_at_its_fixed_point():
    degradation, prior, step = rgmkit.degradation("blur:std=1,noise=0.1"), pixelwise.Tikhonov(weight=20), 0.02
    y = degradation(images(3, *SHAPE), generator=seeded(1))
    x = rgmkit.solver("hqs", step=step, tolerance=1e-12).solve(Problem.from_measurement(y, degradation, prior)).x
    torch.testing.assert_close(x, prior.prox(degradation.prox(x, y, step / 0.1**2), step), rtol=0, atol=1e-7)


def test_tv_is_minimised_alike(photo):
    degradation, prior = rgmkit.degradation("blur:std=1,noise=0.05"), rgmkit.prior("tv:weight=5")
    y = degradation(photo, generator=seeded(1))

    def objective(x):
        return float(((degradation.A(x) - y) / 0.05).square().sum() / 2 + prior.value(x).sum())

    *values, nearly = [objective(rgmkit.restore(y, degradation, prior, solver=name).x) for name in SOLVERS]
    assert max(values) < 1.002 * min(values) and nearly < 1.01 * min(values), (values, nearly)


@pytest.mark.parametrize("spec", ["blur:std=1.5,noise=0.02", "downsample:factor=2,noise=0"])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_photograph_is_restored_without_tuning(photo, name, spec):
    before, after = restored(photo, spec, "tv", solver=name)
    assert after > before + (2 if "blur" in spec else 0.25)


@pytest.mark.parametrize("prior", ["tv", "wavelet"])
@pytest.mark.parametrize("noise", [0.02, 0.2])
@pytest.mark.parametrize("operator", ["gaussian-noise:", "blur:std=1,"])
def test_the_default_weight_is_near_the_best(photo, prior, noise, operator):
    spec = f"{operator}noise={noise}"
    degradation = rgmkit.degradation(spec)
    problem = Problem.from_measurement(photo, degradation, rgmkit.prior(prior))
    found = scale.ProblemScale(degradation, problem.shape, photo)
    weight = problem.prior.with_default_weight(found.noise, found.mean_gain).weight
    after = {f: restored(photo, spec, f"{prior}:weight={weight * f}", solver="admm")[1] for f in (0.4, 1, 2.5)}
    assert after[1] == restored(photo, spec, prior, solver="admm")[1]
    assert after[1] > max(after.values()) - 0.3, after


def test_a_weight_of_zero_and_no_noise_leave_the_image(photo):
    assert restored(photo, "gaussian-noise:noise=0", "tv:weight=0")[1] > 100


def test_the_trace_of_pgd_has_the_residual_of_each_iterate(photo):
    """It is that of the gradient one step later, for images that have stopped, too."""
    degradation, seen = rgmkit.degradation("blur:std=1,noise=0.05"), []
    y = degradation(torch.cat([photo, 0 * photo + 0.5]), generator=seeded(1))
    applied = []
    A = degradation.A
    degradation.A = lambda x: applied.append(1) or A(x)
    trace = rgmkit.restore(
        y, degradation, "tv", solver="pgd:tolerance=1e-3,iterations=60,step=0.004",
        callback=lambda k, of, x: seen.append(float((A(x) - y).square().mean().sqrt())),
    ).trace  # fmt: skip
    assert [row["residual"] for row in trace] == pytest.approx(seen, rel=1e-5)
    assert len(applied) < len(trace) + 6  # one for each step, and a few for the problem


@pytest.mark.parametrize("name", ["admm", "drs"])
def test_what_is_missing_moves_without_noise_too(photo, name):
    degradation, prior = rgmkit.degradation("inpaint:keep=0.5,noise=0"), rgmkit.prior("tv:weight=150")
    y = degradation(photo)

    def objective(x):
        return float(((degradation.A(x) - y) / 1e-3).square().sum() / 2 + prior.value(x).sum())

    found = objective(rgmkit.restore(y, degradation, prior, solver=name).x)
    least = objective(rgmkit.restore(y, degradation, prior, solver="admm:iterations=300,tolerance=0").x)
    assert found < least + 0.1 * (objective(degradation.embed(y)) - least)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_network_is_a_prior_too(name):
    problem = toys.make_problem(toys.Restorer())
    solution = rgmkit.solver(name, iterations=7).solve(problem, generator=Streams(0, range(3)))
    again = rgmkit.solver(name, iterations=7).solve(problem, generator=Streams(0, range(3)))
    assert torch.equal(solution.x, again.x) and solution.nfe == 7
    assert (solution.x - toys.draw_truth()).norm() < (problem.y - toys.draw_truth()).norm()


def test_steps_that_are_too_long_are_refused_with_the_remedy(photo):
    with pytest.raises(ConfigError, match="PGD diverged with step 1: give a smaller one"):
        restored(photo.double(), "gaussian-noise:noise=0.001", "tikhonov:weight=1e-9", solver="pgd:step=1,tolerance=0")
    with pytest.raises(IncompatibleError, match="measures nothing"):
        restored(photo, Dark(), "tv")


class Dark(rgmkit.Degradation):
    def A(self, x):
        return 0 * x


def test_it_stops_when_the_steps_get_small(photo):
    degradation, seen = rgmkit.degradation("gaussian-noise:noise=0.1"), []
    y = degradation(photo, generator=seeded(1))
    solution = rgmkit.restore(y, degradation, "tv", solver="pgd", callback=lambda *call: seen.append(call[:2]))
    trace = solution.trace
    assert seen == [(k + 1, 100) for k in range(len(trace))] and len(trace) < 100
    assert trace[-1]["change"] <= 1e-4 < trace[-2]["change"]
    assert trace[-1]["residual"] == pytest.approx(float((solution.x - y).square().mean().sqrt()), rel=1e-5)


@pytest.mark.parametrize("spec", ["downsample:factor=2,noise=0.1", "blur:std=1,noise=0.1,boundary=reflect"])
def test_a_degradation_as_an_operator_of_deepinv(spec):
    degradation = rgmkit.degradation(spec)
    physics = degradation.to_deepinv(SHAPE)
    x, z, gamma = images(3, *SHAPE), images(3, *SHAPE, seed=1), torch.tensor([0.1, 1, 20], dtype=torch.float64)
    y = degradation(x, generator=seeded(2))
    with torch.random.fork_rng():
        assert float(physics.adjointness_test(x)) < 1e-12
        torch.manual_seed(0)
        spread = float((physics(x.repeat(50, 1, 1, 1)) - physics.A(x).repeat(50, 1, 1, 1)).std())
    assert spread == pytest.approx(0.1, rel=0.05)
    expected = deepinv.physics.LinearPhysics.prox_l2(physics, z, y, per_image(gamma, z), max_iter=200, tol=1e-9)
    torch.testing.assert_close(physics.prox_l2(z, y, per_image(gamma, z)), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(physics.prox_l2(None, y, 2.0), degradation.prox(0 * z, y, 2.0))
    assert physics.degradation is not degradation


def operators():
    taps = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16
    mask = (images(1, 8, 12) > 0.4).double()
    noise = deepinv.physics.GaussianNoise(0.1)
    yield deepinv.physics.Inpainting(img_size=(1, 8, 12), mask=mask, noise_model=noise), None
    yield deepinv.physics.Blur(filter=taps, padding="valid"), (1, 10, 14)


@pytest.mark.parametrize("check", checks("degradation"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", list(operators()), ids=lambda case: type(case[0]).__name__)
@pytest.mark.filterwarnings("ignore::rgmkit.errors.AccuracyWarning")
def test_an_operator_of_deepinv_as_a_degradation(case, check):
    if check.__name__ == "dtypes":
        pytest.skip("an operator of deepinv works in its own precision")
    degradation = Physics(physics=case[0], image_shape=case[1]).double()
    check(degradation, case[1] or (1, 8, 12))


def test_what_deepinv_gives_is_copied_and_used(photo):
    angles = deepinv.physics.Tomography(angles=40, img_width=64, normalize=True)
    options = dict(vars(angles))
    tomography = from_deepinv(angles, image_shape=(1, 64, 64), noise=0.01)
    y = tomography(photo, generator=seeded(0))
    x = rgmkit.restore(y, tomography, "tv", solver="pgd").x
    assert psnr(x, photo) > psnr(tomography.embed(y), photo) + 3
    assert {name: vars(angles)[name] for name in options} == options
    denoiser = from_deepinv(deepinv.optim.PnP(deepinv.models.MedianFilter()))
    assert denoiser.provides == {"prox"} and denoiser.prox(photo, 0.01).shape == photo.shape
    with pytest.raises(ConfigError, match="PoissonNoise"):
        from_deepinv(deepinv.physics.Denoising(deepinv.physics.PoissonNoise(0.1)))
    with pytest.raises(IncompatibleError, match="PhaseRetrieval"):
        from_deepinv(deepinv.physics.PhaseRetrieval(deepinv.physics.Denoising()))


def test_the_list_of_components_imports_nothing_heavy():
    code = "import sys, rgmkit_deepinv as p; p.rgmkit_components(); print({'torch', 'deepinv'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
