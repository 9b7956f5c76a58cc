"""Each deliberate mistake is found by the check that is meant for it, and nothing that is right is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conformance_cases import RIGHT, SHAPE, WRONG, Shift, describe_mistake, describe_right, make_right

import rgmkit
import rgmkit.testing
from rgmkit.errors import ConfigError
from rgmkit.testing import conformance, run_checks
from rgmkit.testing.running import find_shape, kind_of

CASES = make_right()
PAGE = (Path(__file__).parents[1] / "docs" / "conformance.md").read_text("utf-8")  # by benchmarks/conformance.py
QUICK = ("degradation", "noise", "metric", "objective", "process")
OPS = """
import rgmkit

class Half(rgmkit.Degradation):
    "As a stranger writes it: it sets the noise itself, and its `at` checks nothing."
    def __init__(self, *, factor: float = 2.0, noise: float = 0.0):
        super().__init__()
        self.factor = factor
        self.noise = noise
    def A(self, x):
        return x / self.factor
    def at(self, severity):
        return Half(factor=1 + severity * (self.factor - 1), noise=severity * self.noise)

class Twice(Half):
    def adjoint(self, y):
        return 2 * super().adjoint(y)
    def pinv(self, y):
        raise RuntimeError("not\\ntoday")
    def embed(self, y):
        raise SystemExit(0)
    def at(self, severity):
        assert severity > 1

@rgmkit.hookimpl
def rgmkit_components():
    return [rgmkit.Component("degradation", "half", Half), rgmkit.Component("degradation", "twice", Twice)]
"""


def named(outcome: str, component, shape=None, **options) -> set[str]:
    return {result.check for result in run_checks(component, shape, **options) if result.outcome == outcome}


def shape_of(component):
    return SHAPE if isinstance(component, rgmkit.Degradation) else None


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: type(wrong.component).__name__)
def test_each_mistake_is_found_by_its_check(wrong):
    results = run_checks(wrong.component, shape_of(wrong.component))
    (found,) = [result for result in results if result.check == wrong.check]
    assert found.outcome == "failed"
    assert describe_mistake(wrong, results) in PAGE
    assert found.expected and found.seen and found.cause


def test_every_check_finds_a_mistake():
    found = {(kind_of(wrong.component), wrong.check) for wrong in WRONG}
    kinds = ("degradation", "noise", "prior", "solver", "metric", "objective")  # processes: in test_testing.py
    assert found >= {(kind, check.__name__) for kind in kinds for check in rgmkit.testing.checks(kind)} - {
        ("degradation", "noise")  # in test_testing.py
    }


@pytest.mark.parametrize("right", RIGHT, ids=lambda right: type(right).__name__)
def test_what_the_mistakes_are_made_of_is_right(right):
    assert not named("failed", right, shape_of(right))


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[] if c[0] in QUICK else pytest.mark.slow, id=": ".join(c)) for c in CASES]
)
def test_what_is_right_is_not_refused(case):
    right = CASES[case]
    results = run_checks(right.make(), right.shape, expected_failures=right.expected_failures)
    assert [(result.check, result.seen) for result in results if result.outcome == "failed"] == []
    assert any(result.outcome == "passed" for result in results)
    assert describe_right(*case, results) in PAGE


def test_every_built_in_component_is_among_those():
    listed = {
        component.name
        for kind in ("degradation", "noise", "prior", "solver", "process", "objective", "metric")
        for component in rgmkit.plugins.list_components(kind)
        if component.distribution == "rgmkit"
    }
    weights = {f"deepinv.{name}" for name in ("DnCNN", "DRUNet", "FFDNet", "GSDRUNet")}  # of the user
    threads = {"deepinv.BM3D"}  # takes 40 seconds, and adds up in any order
    others = {"network", "regulariser", "dequantise", "correlated", "per-pixel", "deepinv", "torchmetrics"}
    missing = listed - {spec.partition(":")[0] for _, spec in CASES}
    assert missing == weights | threads | others  # which have tests of their own
    assert sum(kind == "operator of deepinv" for kind, _ in CASES) >= 20


@conformance(Shift(), image_shape=SHAPE)
def test_right_component_has_one_test_per_check(check):
    check()


@conformance(
    WRONG[0].component, image_shape=SHAPE, expected_failures=dict.fromkeys(["adjoint", "prox", "gradients"], "2")
)
def test_expected_failures_are_expected(check):
    check()


def test_expected_failures_are_named_and_must_fail():
    with pytest.raises(ConfigError, match="'adjiont', which is no check: did you mean 'adjoint'"):
        conformance(Shift(), expected_failures={"adjiont": "no"})
    ids = [parameter.id for parameter in conformance(Shift()).args[1]]
    assert ids == [check.__name__ for check in rgmkit.testing.checks("degradation")]
    (mark,) = conformance(Shift(), expected_failures={"pinv": "no"}).args[1][ids.index("pinv")].marks
    assert mark.name == "xfail" and mark.kwargs == {"reason": "no", "strict": True}
    (result,) = [r for r in run_checks(Shift(), expected_failures={"pinv": "slow"}) if r.outcome == "failed"]
    assert (result.check, result.seen) == ("pinv", "it passes") and "slow" in result.cause
    assert named("expected failure", rgmkit.prior("wavelet")) == {"prox_minimises"}
    assert named("failed", rgmkit.solver("dequantise")) == set()


def test_images_suit_the_component():
    assert find_shape(rgmkit.degradation("bayer")) == (3, 12, 8)
    assert find_shape(rgmkit.noise("per-channel", std=[0.1, 0.2])) == (2, 12, 8)
    assert find_shape(rgmkit.load("digits")) == (1, 16, 16)
    with pytest.raises(ConfigError, match="an object of Degradation, ForwardProcess"):
        kind_of(torch.nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="unknown parameters"):
        run_checks(rgmkit.noise("poisson"))


@pytest.fixture
def ops(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("rgmkit.plugins.registry._installed", None)
    (tmp_path / "ops.py").write_text(OPS)
    return tmp_path / "ops.py"


def test_the_command_prints_a_table_of_a_file(ops, run):
    ran = run("plugins", "check", ops)
    half, twice = ran.out.split("\n\n")
    assert ran.code == 1 and ran.err == ""
    assert half.splitlines()[0] == "degradation Half() of ops.py, images (3, 12, 8)"
    assert half.splitlines()[-1] == "  15 passed" and "  adjoint               passed" in half
    text = " ".join(twice.split())
    assert "adjoint FAILED expected `<A x, y> = <x, A^T y>` for each image of the batch. seen <A x, y> is" in text
    assert "2 times as much likely cause `adjoint` is not that of A" in text
    assert "seen RuntimeError: not today likely cause line 19 of" in text  # where it is raised
    assert "seen SystemExit: 0 likely cause line 21 of" in text
    assert "seen AssertionError likely cause line 23 of" in text
    assert max(map(len, ran.out.replace(str(ops), "ops.py").splitlines())) <= 80


def test_the_command_finds_names_options_and_files(ops, run):
    assert run("plugins", "check", "--plugin", ops).code == 1
    assert run("plugins", "--plugin", ops, "check", "half:factor=4,noise=0.1", "--shape", "1,6,5").code == 0
    facts = json.loads(run("plugins", "check", "twice", "--json").out)["components"][0]
    assert facts["passed"] is False and facts["shape"] == [3, 12, 8]
    (adjoint,) = [check for check in facts["checks"] if check["check"] == "adjoint"]
    assert adjoint["outcome"] == "failed" and adjoint["cause"].startswith("`adjoint` is not")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "there is nothing to check: give a NAME"),
        (["mlp"], "network 'mlp' cannot be checked: there are checks of degradation"),
        (["halve"], "no component is named 'halve'"),
        (["blur:sdt=1"], "sdt"),
        (["blur", "--shape", "3x4"], "give C,H,W, such as 3,12,8"),
        (["nowhere.py"], "no plugin file"),
        (["white"], "needs noise.std"),
    ],
)
def test_the_command_says_what_it_cannot_check(arguments, words, run, monkeypatch):
    monkeypatch.setattr("rgmkit.plugins.registry._installed", None)
    ran = run("plugins", "check", *arguments)
    assert ran.code == 2 and words in ran.err and len(ran.err.splitlines()) == 1


def test_the_base_class_checks_the_noise_that_a_degradation_sets():
    class Own(rgmkit.Degradation):
        def __init__(self, noise):
            super().__init__()
            self.noise = noise

        def A(self, x):
            return x

        def at(self, severity):
            return Own(severity * self.noise)

    with pytest.raises(ConfigError, match="noise is -1"):
        Own(-1)
    assert isinstance(Own(torch.tensor(0.5)).noise, float)
    assert Own(None).at(0.5).noise is None
    photons = rgmkit.noise("poisson", photons=30)
    assert float(Own(photons).at(0.5).noise.variance(torch.tensor(0.6))) == pytest.approx(0.6 / 30 / 4)
