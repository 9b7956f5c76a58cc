"""The shipped model: it restores, it generates digits that are new, and the same seed gives the same bits."""

from __future__ import annotations

import pytest
import torch

import rgmkit
from rgmkit.cli.demo.tasks import TASKS
from rgmkit.models.folder import describe, locate
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")

COUNT = 60  # held-out digits


@pytest.fixture(scope="module")
def prior() -> rgmkit.RestoringPrior:
    return rgmkit.load("digits")


@pytest.mark.parametrize("task", TASKS, ids=["denoise", "deblur", "superresolve"])
def test_restores_better_than_total_variation(prior, task):
    truth = Digits(split="held-out").images[:COUNT]
    degradation = rgmkit.degradation(task.degradation)
    y = degradation(truth, generator=rgmkit.Streams(3, range(COUNT)))
    before, variation, cascade, pnp_drs = (
        float(psnr(x.clamp(0, 1), truth).mean())
        for x in (
            degradation.embed(y),
            rgmkit.restore(y, degradation, task.tv).x,
            rgmkit.restore(y, degradation, prior, solver="cascade", seed=3).x,
            rgmkit.restore(y, degradation, prior, solver="pnp-drs", seed=3).x,
        )
    )
    assert cascade > variation + 1 > before + 1
    assert pnp_drs > variation + 1


@pytest.mark.slow
def test_generates_new_digits_of_every_class(prior):
    digits = rgmkit.generate(prior, 1000, seed=5)  # as many as recorded: a Fréchet distance grows as samples get fewer
    score = Digits().score(digits)
    recorded = describe("digits")["facts"]["metrics"]["noise"]
    assert score["frechet"] < 1.5 * recorded["frechet"]
    assert score["confident"] > recorded["confident"] - 0.1  # 7 standard errors of 1,000 samples
    assert score["least class"] > 0.02 and score["nearest_neighbour_ratio"] > 0.85
    train, held_out = (Digits(split=split).images.flatten(1) for split in ("train", "held-out"))
    nearest, usual = (torch.cdist(x, train).min(1).values for x in (digits.flatten(1), held_out))
    assert nearest.min() > usual.min()  # none is closer to a training digit than each held-out digit is
    assert float((nearest < usual.quantile(0.01)).double().mean()) < 0.04  # 1.7 % were measured


def test_same_seed_same_bits_whatever_the_batch(prior):
    digits = rgmkit.generate(prior, 6, seed=1)
    assert digits.equal(rgmkit.generate("digits", 6, seed=1))
    torch.testing.assert_close(rgmkit.generate(prior, 6, seed=1, batch=4), digits, atol=1e-4, rtol=0)  # rounding
    assert not digits.equal(rgmkit.generate(prior, 6, seed=2))


def test_it_is_small_and_holds_no_code():
    folder = locate("digits")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.yaml", "model.safetensors"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4e6
