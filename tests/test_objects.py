"""Objects that show themselves: `repr` is the call that makes a component."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import rgmkit
from rgmkit.core.printable import show_option


class Strangers(rgmkit.Degradation):
    """A degradation as others write it: one option is stored under another name, one is converted."""

    def __init__(self, *, steps: int = 3, kernel: str = "box", **options):
        super().__init__(**options)
        self.steps_taken, self.kernel = steps, {"box": 1.0, "disc": 2.0}[kernel]

    def A(self, x):
        return x


class Child(Strangers):
    """It inherits the constructor."""


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (lambda: rgmkit.prior("tv", weight=4), "TV(weight=4)"),
        (lambda: rgmkit.prior("tv"), "TV()"),
        (lambda: rgmkit.degradation("blur", std=2, noise=1 / 3), f"Blur(std=2, noise={1 / 3!r})"),
        (lambda: rgmkit.degradation("blur", std=2, noise=0.1).with_noise(None), "Blur(std=2, noise=None)"),
        (
            lambda: rgmkit.degradation("compose", of=["blur:std=1", "downsample:factor=4"]),
            "Compose(of=[Blur(std=1), Downsample(factor=4)])",
        ),
        (lambda: rgmkit.degradation("inpaint"), "Inpaint()"),
        (lambda: rgmkit.noise("poisson", photons=30), "Poisson(photons=30)"),
        (lambda: rgmkit.noise("per-pixel", std=np.ones((3, 2))), "PerPixel(std=<3x2>)"),
        (
            lambda: rgmkit.solver("gauss-newton", solver="pnp-drs:iterations=8"),
            "GaussNewton(solver=PnPDRS(iterations=8))",
        ),
        (
            lambda: rgmkit.process("gaussian", levels=3, schedule="geometric"),
            "GaussianProcess(levels=3, schedule='geometric')",
        ),
        (lambda: rgmkit.metric("psnr"), "PSNR()"),
        (lambda: Strangers(), "Strangers()"),
        (lambda: Strangers(steps=5, kernel="disc", noise=0.5), "Strangers(steps=5, kernel='disc', noise=0.5)"),
        (lambda: Child(kernel="disc"), "Child(kernel='disc')"),
        (lambda: copy.deepcopy(pickle.loads(pickle.dumps(Child(steps=1)))), "Child(steps=1)"),
    ],
)
def test_repr_is_the_call(made, shown):
    assert repr(made()) == shown


def test_repr_shows_an_option_that_was_changed_later():
    prior = rgmkit.prior("tv", weight=4)
    prior.weight = 5.0
    strangers = Strangers(kernel="disc")
    strangers.kernel = 7.0
    assert (repr(prior), repr(strangers)) == ("TV(weight=5)", "Strangers(kernel=7)")


def test_repr_of_a_network_is_one_line():
    prior = rgmkit.load("digits")
    assert repr(prior) == "NetworkPrior(digits, UNet, 599,428 parameters, 4 levels, grey (1, 16, 16))"
    assert show_option(nn.Sequential(nn.Linear(2, 3), nn.ReLU())) == "Sequential(9 parameters)"


def test_what_was_given_is_no_part_of_the_weights():
    assert not [name for name in rgmkit.load("digits").state_dict() if "given" in name]
    assert torch.equal(Strangers(steps=2).A(torch.ones(1)), torch.ones(1))
