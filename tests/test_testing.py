"""The conformance checks pass on what is right, and each fails on the mistake that it is there for."""

from __future__ import annotations

import unittest

import pytest
import torch
from rgmkit_noise.process import GaussianProcess

import rgmkit.testing
from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import per_image
from rgmkit.core.solver import Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.testing import checks, toys
from rgmkit.testing.running import read_expectation

SHAPE = toys.SHAPE


def run(kind: str, name: str, component, *shape):
    next(check for check in checks(kind) if check.__name__ == name)(component, *shape)


def fails(kind: str, name: str, component, *shape) -> str:
    with pytest.raises(AssertionError) as caught:
        run(kind, name, component, *shape)
    return str(caught.value)


@pytest.mark.parametrize("check", checks("degradation"))
@pytest.mark.parametrize(
    "degradation",
    [toys.Soften(), toys.Clip(noise=0.1), toys.Soften(noise=rgmkit.noise("poisson", photons=30))],
    ids=["linear", "not-linear", "photons"],
)
def test_right_degradations_pass(degradation, check):
    check(degradation, SHAPE)


@pytest.mark.parametrize("check", checks("process"))
@pytest.mark.parametrize("shape", [SHAPE, (2,)], ids=["images", "points"])
def test_right_process_passes(shape, check):
    check(toys.NoiseProcess(), shape)


@pytest.mark.parametrize("check", checks("process"))
@pytest.mark.parametrize(
    "spec",
    ["gaussian:levels=5,schedule=geometric", "multiscale:levels=7", "multiscale:levels=4", "multiscale:levels=1"],
)
def test_built_in_processes_pass(spec, check):
    check(rgmkit.process(spec), (2, 8, 16))


@pytest.mark.parametrize("check", checks("process"))
@pytest.mark.parametrize("spec", ["blur:std=1.5", "downsample:factor=4,filter=bicubic"])
def test_processes_of_degradations_pass(spec, check):
    check(rgmkit.process("severity", degradation=rgmkit.degradation(spec), levels=3), (2, 8, 16))


@pytest.mark.parametrize("check", checks("prior"))
@pytest.mark.parametrize("prior", [toys.Grey(), toys.Restorer()], ids=["explicit", "restoring"])
def test_right_priors_pass(prior, check):
    check(prior, SHAPE)


class WrongAdjoint(toys.Soften):
    def adjoint(self, y):
        return self.A(y)


class MixesTheBatch(toys.Soften):
    def A(self, x):
        return x - 0.5 * x.flip(0)


class DrawsGlobally(toys.Soften):
    def A(self, x):
        return x * torch.rand(())


class Affine(toys.Soften):
    def A(self, x):
        return x + 0.01


class HalfProx(toys.Soften):
    def prox(self, z, y, gamma):
        return super().prox(z, y, gamma / 2)


class MeanGamma(toys.Soften):
    def prox(self, z, y, gamma):
        return super().prox(z, y, torch.as_tensor(gamma).mean())


class DetachedProx(toys.Soften):
    def prox(self, z, y, gamma):
        return super().prox(z, y.detach(), gamma) + 0 * y


class Mask(Degradation):
    """Every second column is lost."""

    def A(self, x):
        return x * (torch.arange(x.shape[-1]) % 2)


class FilledPinv(Mask):
    def pinv(self, y):
        return y + 0.5 * (1 - torch.arange(y.shape[-1]) % 2)


class AdjointForPinv(toys.Soften):
    def pinv(self, y):
        return self.adjoint(y)


class LiesAboutShape(Mask):
    def A(self, x):
        return x[..., ::2]


class EmbedsHalf(LiesAboutShape):
    def image_shape(self, y_shape):
        return *y_shape[:-1], 2 * y_shape[-1]


class Remembers(toys.Soften):
    def A(self, x):
        self.last = x
        return super().A(x)


class WritesIntoArgument(toys.Soften):
    def A(self, x):
        y = super().A(x)
        x.mul_(0.5)
        return y


class ForwardWithMoreNoise(toys.Soften):
    def forward(self, x, *, generator=None):
        return super().forward(super().forward(x, generator=generator), generator=generator)


class AtItself(toys.Soften):
    def at(self, severity):
        return self


class WidensToDouble(toys.Soften):
    def A(self, x):
        return super().A(x).double()


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("linearity", Affine, "relative error"),
        ("adjoint", WrongAdjoint, "<A x, y> is"),
        ("one_image_at_a_time", MixesTheBatch, "batch against one"),
        ("prox", HalfProx, "gamma 0.1: relative gradient"),
        ("prox_of_each_gamma", MeanGamma, "one gamma per image"),
        ("gradients", DetachedProx, "its gradient gives"),
        ("pinv", FilledPinv, "pinv(A A^T y)"),
        ("pinv", AdjointForPinv, "A^T A pinv(y)"),
        ("shapes", LiesAboutShape, "the image had (1, 2, 4, 6)"),
        ("shapes", EmbedsHalf, "embed gives (1, 2, 4, 3)"),
        ("dtypes", WidensToDouble, "torch.float64"),
        ("noise", ForwardWithMoreNoise, "the noise has"),
        ("randomness", DrawsGlobally, "global generator of torch"),
        ("purity", Remembers, "self.last"),
        ("purity", DrawsGlobally, "global generator of torch"),
        ("purity", WritesIntoArgument, "writes into its arguments"),
        ("severities", AtItself, "severity 0"),
        ("finals", ForwardWithMoreNoise, "forward"),
    ],
)
def test_wrong_degradations_fail(name, wrong, words):
    assert words in fails("degradation", name, wrong(), SHAPE)


class LoudTerminal(GaussianProcess):
    def terminal(self, shape, *, generator=None, device=None):
        return 1.05 * super().terminal(shape, generator=generator, device=device)


class WhiteTerminal(type(rgmkit.process("multiscale"))):
    def terminal(self, shape, *, generator=None, device=None):
        return torch.randn(shape, generator=generator) * self.sigma_by_level[-1]


class FirstLevelOnly(toys.NoiseProcess):
    def mean(self, x, level):
        return self.a(level[:1]) * x


class WrongSigma(toys.NoiseProcess):
    def shape_noise(self, e, level):
        return per_image(self.sigma(level), e) * e * 1.02


class ShiftedLevelZero(toys.NoiseProcess):
    def mean(self, x, level):
        return super().mean(x, level) + 0.01


class KeepsTooMuch(toys.NoiseProcess):
    def __init__(self):
        super().__init__()
        self.a_by_level[-1] = 0.055


class DetachedMean(toys.NoiseProcess):
    def mean(self, x, level):
        return super().mean(x.detach(), level) + 0 * x


class CountsLevels(toys.NoiseProcess):
    calls = 0

    def mean(self, x, level):
        self.calls += 1
        return super().mean(x, level)


class AlwaysSingle(toys.NoiseProcess):
    def mean(self, x, level):
        return super().mean(x, level).float()

    def shape_noise(self, e, level):
        return super().shape_noise(e, level).float()


class GlobalNoise(toys.NoiseProcess):
    def degrade(self, x, level, *, standard_normal=None, generator=None):
        e = torch.randn(x.shape).to(x) if standard_normal is None else standard_normal
        return super().degrade(x, level, standard_normal=e)


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("noise_schedule", KeepsTooMuch, "too much is left"),
        ("clean_level", ShiftedLevelZero, "mean at level 0"),
        ("mixed_levels", FirstLevelOnly, "mixed levels"),
        ("mean_fidelity", WrongSigma, "expected 24"),
        ("noise", WrongSigma, "variance"),
        ("terminal_law", LoudTerminal, "variance of a pixel"),
        ("randomness", GlobalNoise, "global generator"),
        ("gradients", DetachedMean, "finite difference"),
        ("purity", CountsLevels, "self.calls"),
        ("dtypes", AlwaysSingle, "of float64 images is torch.float32"),
    ],
)
def test_wrong_processes_fail(name, wrong, words):
    assert words in fails("process", name, wrong(), SHAPE)


def test_white_terminal_of_coarse_levels_fails():
    assert "next one in its row" in fails("process", "terminal_law", WhiteTerminal(levels=3), (1, 8, 16))


class HidesGrad(toys.Grey):
    provides = frozenset({"value", "prox"})


class WeakProx(toys.Grey):
    def prox(self, x, gamma, *, generator=None):
        return super().prox(x, gamma / 2)


class WrongGrad(toys.Grey):
    def grad(self, x):
        return 1.1 * super().grad(x)


class BatchValue(toys.Grey):
    def value(self, x):
        return super().value(x).sum().expand(len(x))


class Lonely(toys.Restorer):
    def _restore(self, y, level, z):
        return super()._restore(y, level[:1].expand(len(y)), z)


class Counts(toys.Restorer):
    calls = 0

    def _restore(self, y, level, z):
        self.calls += 1
        return super()._restore(y, level, z)


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("capabilities", HidesGrad, "grad works"),
        ("prox_minimises", WeakProx, "of the way from"),
        ("gradient_of_value", WrongGrad, "the slope"),
        ("one_image_at_a_time", BatchValue, "value of a batch"),
        ("restoring", Lonely, "mixed levels"),
        ("purity", Counts, "self.calls"),
    ],
)
def test_wrong_priors_fail(name, wrong, words):
    assert words in fails("prior", name, wrong(), SHAPE)


class Descent(Solver):
    """Gradient descent for the checks; `mistake` makes it wrong."""

    needs = frozenset({"grad"})

    def __init__(self, mistake: str = "") -> None:
        self.mistake = mistake

    def _solve(self, problem, *, generator, callback):
        d, x, steps = problem.degradation, problem.y.clone(), 100
        for step in range(steps):
            slope = d.adjoint(d.A(x) - problem.y) / d.noise**2 + problem.prior.grad(x)
            x = x - (0.01 if self.mistake != "climbs" else -0.001) * slope
            if self.mistake == "mixes":
                x = x + 0.1 * (x.flip(0) - x)
            callback(step + (self.mistake != "counts from 0"), steps, x)
        if self.mistake == "remembers":
            self.mistake = "remembers x"
        if self.mistake == "draws":
            x = x + 1e-3 * torch.randn(x.shape)
        return Solution(x if self.mistake != "cuts" else x[:1])


@pytest.mark.parametrize("check", checks("solver"))
@pytest.mark.parametrize(
    "name", ["one-shot", "cascade", "back-projection", "pnp-drs", "posterior", "gauss-newton", "own"]
)
def test_right_solvers_pass(name, check):
    check(Descent() if name == "own" else rgmkit.solver(name))


class Greedy(Descent):
    needs = frozenset()


@pytest.mark.parametrize(
    ("name", "solver", "words"),
    [
        ("answer", Descent("climbs"), "from the truth"),
        ("answer", Descent("cuts"), "shape"),
        ("one_image_at_a_time", Descent("mixes"), "one image at a time"),
        ("callbacks", Descent("counts from 0"), "expected 1, 2, 3"),
        ("randomness", Descent("draws"), "global generator of torch"),
        ("purity", Descent("remembers"), "self.mistake"),
    ],
)
def test_wrong_solvers_fail(name, solver, words):
    assert words in fails("solver", name, solver)


def test_kinds_and_names():
    with pytest.raises(ConfigError, match="give degradation, process"):
        checks("degradations")
    for kind in ("degradation", "process", "prior", "solver", "noise", "metric", "objective"):
        names = [check.__name__ for check in checks(kind)]
        assert len(set(names)) == len(names)
        assert all(all(read_expectation(check)) for check in checks(kind))


def test_what_does_not_apply_is_skipped():
    with pytest.raises(unittest.SkipTest, match="not linear"):
        run("degradation", "adjoint", toys.Clip(), SHAPE)
    ran = rgmkit.testing.check_all("degradation", toys.Clip(), SHAPE)
    assert "noise" in ran
    assert "adjoint" not in ran
