"""Tiles: they give what the whole image gives, and come when the memory asks."""

from __future__ import annotations

import dataclasses
import itertools

import psutil
import pytest
import torch
from networks import NETWORKS, draw, unet
from rgmkit_downsample.process import MultiscaleProcess
from rgmkit_noise.process import GaussianProcess
from skimage import data

import rgmkit
from rgmkit.adapters import fit_prior
from rgmkit.adapters.tiled import AxisTiling, Tiled
from rgmkit.core.locality import Locality
from rgmkit.core.network_prior import NetworkPrior
from rgmkit.core.random import Streams, seeded
from rgmkit.errors import ConfigError, IncompatibleError


@pytest.fixture(scope="module")
def digits():
    return rgmkit.load("digits")


@pytest.fixture(scope="module")
def camera():
    """Two grey photographs (2, 1, 203, 301)."""
    x = torch.from_numpy(data.camera()).float()[None, None] / 255
    return torch.cat([x[..., 100:303, 100:401], x[..., 200:403, 211:512]])


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_the_declared_receptive_field_is_the_true_one(options):
    """The furthest pixel that any pixel of a period depends on, by automatic differentiation."""
    prior = unet(**options).double()
    margin, multiple = prior.locality.margin, prior.locality.multiple
    y = draw(1, 1, multiple, 2 * margin + 4 * multiple - (2 * margin) % multiple, dtype=torch.float64).requires_grad_()
    x = prior._restore(y, torch.tensor([2]), draw(1, prior.latent, dtype=torch.float64))
    middle = y.shape[-1] // 2 // multiple * multiple
    reach = 0
    for column in range(middle, middle + multiple):
        (slope,) = torch.autograd.grad(x[..., column].sum(), y, retain_graph=True)
        seen = slope[0, 0].abs().amax(0).nonzero()
        reach = max(reach, column - int(seen.min()), int(seen.max()) - column)
    assert reach == margin


@pytest.mark.parametrize("name", [pytest.param("digits", marks=pytest.mark.slow), *NETWORKS])
def test_tiles_give_what_the_whole_image_gives(name, digits, camera):
    """To float rounding, up to the borders, at an odd size, for a batch of two levels."""
    prior = digits if name == "digits" else unet(**NETWORKS[name])
    level, z = torch.tensor([1, 3]), draw(2, prior.latent)
    y = prior.degrade(camera[..., :151, :230], level, generator=seeded(0))
    whole = prior.restore(y, level, z=z)
    for side in (33, 64):
        tiled = Tiled(prior, tile=side, pixels=side**2)
        assert tiled.shape(151, 230)[0] > 1
        assert float((tiled.restore(y, level, z=z) - whole).abs().max()) < 2e-5


def test_margins_are_needed(camera):
    """Were the receptive field declared smaller than it is, the answer would differ: the test above can fail."""
    prior = unet(**NETWORKS["wide patches"])
    prior.locality = dataclasses.replace(prior.locality, receptive_field=1)
    y, level, z = camera, torch.tensor([1, 3]), draw(2, 3)
    difference = Tiled(prior, tile=64).restore(y, level, z=z) - prior.restore(y, level, z=z)
    assert float(difference.abs().max()) > 1e-3


@pytest.mark.parametrize("margin, multiple", [(0, 1), (39, 4), (51, 8)])
def test_weights_are_a_partition_of_unity(margin, multiple):
    overlap = 2 * margin + 16
    overlap += -overlap % multiple
    for step in (1, 17, 64, 401):
        tiling = AxisTiling(step, overlap, margin, multiple)
        for length in (1, tiling.side, tiling.side + 1, tiling.side + step, 1237):
            intervals, total = tiling.intervals(length), torch.zeros(length, dtype=torch.float64)
            for interval, weight in zip(intervals, tiling.weights(length, like=total), strict=True):
                assert interval.start % multiple == 0 and interval.stop - interval.start <= tiling.side
                left, right = margin * (interval.start > 0), margin * (interval.stop < length)
                counted = torch.zeros(len(weight), dtype=bool)
                counted[left : len(weight) - right] = True
                assert ((weight > 0) == counted).all()
                total[interval] += weight
            torch.testing.assert_close(total, torch.ones_like(total))
            assert (len(intervals) == 1) == (length <= tiling.side)


@pytest.mark.slow
def test_restore_in_tiles_agrees_and_says_so(digits, camera):
    degradation = rgmkit.degradation("blur", std=1.5, noise=0.05)
    y = degradation(camera[:1, :, :153, :200], generator=Streams(0, [0]))
    for solver in ("cascade:evaluations=2", "pnp-drs:iterations=1", "drs:iterations=1"):
        whole, tiled = (rgmkit.restore(y, degradation, digits, solver=solver, tile=tile) for tile in (None, 80))
        assert float((whole.x - tiled.x).abs().max()) < 1e-3
        assert whole.notes == () and "2 tiles of 153 x 148 pixels" in tiled.notes[0]
    assert rgmkit.restore(y[..., :9, :12], degradation, digits, tile=16).notes == ()  # no larger than a tile


def test_progress_through_tiles(digits, camera):
    class Watch:
        seen = ()

        def __call__(self, step, steps, x):
            self.seen += (f"step {step}/{steps}",)

        def tile(self, done, count):
            self.seen += (f"tile {done}/{count}",)

    rgmkit.restore(
        camera[:1], "gaussian-noise:noise=0.2", digits, solver="one-shot", tile=120, callback=(watch := Watch())
    )
    assert watch.seen == ("tile 1/2", "tile 2/2", "step 1/1")


def free_memory(monkeypatch, n):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": n}))


@pytest.mark.slow
def test_tiles_come_when_memory_asks(digits, camera, monkeypatch):
    assert type(fit_prior(digits, (2, 1, 203, 301), like=camera)[0]) is NetworkPrior
    assert fit_prior(digits, (1, 1, 3000, 2000), like=camera)[1] != ()  # more than 1 GiB of features
    free_memory(monkeypatch, 3 * 203 * 301 * digits.locality.floats_per_pixel * 4)  # half of it: one of the two
    prior, notes = fit_prior(digits, (2, 1, 203, 301), like=camera)
    assert prior.shape(203, 301)[0] == 1 and notes == () and prior._batches(2, 203 * 301) == [slice(0, 1), slice(1, 2)]
    free_memory(monkeypatch, 10**6)
    tiled, notes = fit_prior(digits, (2, 1, 203, 301), like=camera)
    assert "tiles" in notes[0]
    level, z = torch.tensor([1, 3]), draw(2, 16)
    expected = digits.restore(camera, level, z=z)
    for adapted in (prior, tiled):
        assert float((adapted.restore(camera, level, z=z) - expected).abs().max()) < 2e-5


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_the_memory_of_a_network_is_not_underestimated(options):
    """The peak of what one evaluation allocates, as torch's profiler counts it."""
    prior = unet(**options)
    y, level, z = draw(1, max(prior.channels), 128, 128), torch.tensor([2]), draw(1, 3)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        prior._restore(y, level, z)
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = list(itertools.accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))
    assert 0.5 < max(held) / y[0, 0].numel() / 4 / prior.locality.floats_per_pixel < 1


def test_the_memory_of_many_samples_counts(camera, digits, monkeypatch):
    """Drawn in one batch, evaluated one by one: the same draws."""
    asked = {"solver": "one-shot", "samples": 3}
    expected = rgmkit.restore(camera[:1, :, :40, :50], "gaussian-noise:noise=0.2", digits, **asked)
    batches = []
    evaluate = NetworkPrior._restore
    monkeypatch.setattr(
        NetworkPrior, "_restore", lambda self, y, *rest: batches.append(len(y)) or evaluate(self, y, *rest)
    )
    free_memory(monkeypatch, 2 * 40 * 50 * digits.locality.floats_per_pixel * 4)
    solution = rgmkit.restore(camera[:1, :, :40, :50], "gaussian-noise:noise=0.2", digits, **asked)
    assert batches == [1, 1, 1] and solution.notes == ()
    torch.testing.assert_close(solution.samples, expected.samples, atol=1e-5, rtol=0)


class Centred(torch.nn.Module):
    """Looks at the whole image: takes off half its mean."""

    def forward(self, y, t, z):
        return y - y.mean((1, 2, 3), keepdim=True) / 2


def test_a_network_that_declares_nothing_is_tiled_only_where_asked(camera, monkeypatch):
    prior = NetworkPrior(process=GaussianProcess(levels=4), network=Centred(), image_shape=(1, 16, 16))
    free_memory(monkeypatch, 1)
    assert fit_prior(prior, (2, 1, 203, 301), like=camera) == (prior, ())
    tiled, notes = fit_prior(prior, (2, 1, 203, 301), like=camera, tile=64)
    assert "declares no receptive field" in notes[0]
    flat = torch.full((1, 1, 203, 301), 0.25)
    torch.testing.assert_close(tiled.restore(flat, 1), prior.restore(flat, 1))  # weights add up to 1


def test_wrong_tiles_are_refused(digits, camera):
    for tile in (0, -3):
        with pytest.raises(ConfigError, match="side of a tile"):
            rgmkit.restore(camera, "gaussian-noise", digits, tile=tile)
    with pytest.raises(IncompatibleError, match="TV is not a network"):
        rgmkit.restore(camera, "gaussian-noise", "tv", tile=64)
    with pytest.raises(ConfigError, match="receptive field"):
        Locality(receptive_field=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (57, 1), (3, 260)], ids=str)
@pytest.mark.parametrize("process", [None, MultiscaleProcess(levels=4)], ids=["gaussian", "multiscale"])
def test_any_size_and_aspect(process, size):
    prior = unet(process=process)
    y = draw(2, 1, *size).sigmoid()
    whole = rgmkit.restore(y, "gaussian-noise:noise=0.1", prior)
    assert whole.x.shape == y.shape and bool(whole.x.isfinite().all())
    tiled = rgmkit.restore(y, "gaussian-noise:noise=0.1", prior, tile=40)
    torch.testing.assert_close(tiled.x, whole.x, atol=1e-3, rtol=0)
