"""Photographs of any size: tiles, channels, depths, from Python and as a user types it."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import psutil
import pytest
import torch
from analytic import GaussianRestorer
from rgmkit_downsample.process import MultiscaleProcess
from rgmkit_gan.networks.unet import UNet
from rgmkit_noise.process import GaussianProcess
from skimage import data

import rgmkit
from rgmkit import images, plugins
from rgmkit.adapters import fit_prior
from rgmkit.adapters.channels import ChannelByChannel, MeanOfChannels
from rgmkit.adapters.geometry import AxisTiling
from rgmkit.adapters.tiled import Tiled
from rgmkit.cli.app import main
from rgmkit.core.locality import Locality
from rgmkit.core.network_prior import NetworkPrior
from rgmkit.core.random import Streams, seeded
from rgmkit.errors import ConfigError, IncompatibleError

psnr = rgmkit.metric("psnr")

NETWORKS = {
    "as shipped": {"blocks": 2},
    "three scales": {"multipliers": (1, 2, 2), "blocks": 1},
    "one scale": {"multipliers": (1,), "patch": 1},
    "wide patches": {"multipliers": (1, 1), "blocks": 1, "patch": 4},
}


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=seeded(*shape), dtype=dtype)


def unet(channels=1, *, process=None, **options):
    process = process or GaussianProcess(levels=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(process=process, image_shape=(channels, 16, 16), **{"width": 8, "latent": 3, **options})
    for part in network.modules():  # the last convolutions start small: let what is far away count
        if isinstance(part, torch.nn.Conv2d):
            part.weight.data *= 3
    prior = NetworkPrior(process=process, network=network.eval(), image_shape=(channels, 16, 16))
    return prior.requires_grad_(False)


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
    x = prior._restore(y, torch.tensor([2]), draw(1, 3, dtype=torch.float64))
    middle = y.shape[-1] // 2 // multiple * multiple
    reach = 0
    for column in range(middle, middle + multiple):
        (slope,) = torch.autograd.grad(x[..., column].sum(), y, retain_graph=True)
        seen = slope[0, 0].abs().amax(0).nonzero()
        reach = max(reach, column - int(seen.min()), int(seen.max()) - column)
    assert reach == margin


@pytest.mark.parametrize("name", ["digits", *NETWORKS])
def test_tiles_give_what_the_whole_image_gives(name, digits, camera):
    """To float rounding, up to the borders, at an odd size, for a batch of two levels."""
    prior = digits if name == "digits" else unet(**NETWORKS[name])
    level, z = torch.tensor([1, 3]), draw(2, prior.latent)
    y = prior.degrade(camera[..., :151, :230], level, generator=seeded(0))
    whole = prior.restore(y, level, z=z)
    for side in (33, 64):
        tiled = Tiled(prior, side=side, pixels=side**2)
        assert tiled.shape(151, 230)[0] > 1
        assert float((tiled.restore(y, level, z=z) - whole).abs().max()) < 2e-5


def test_margins_are_needed(camera):
    """Were the receptive field declared smaller than it is, the answer would differ: the test above can fail."""
    prior = unet(**NETWORKS["wide patches"])
    prior.locality = dataclasses.replace(prior.locality, receptive_field=1)
    y, level, z = camera, torch.tensor([1, 3]), draw(2, 3)
    difference = Tiled(prior, side=64).restore(y, level, z=z) - prior.restore(y, level, z=z)
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
        camera[:1], "gaussian-noise:noise=0.1", digits, solver="one-shot", tile=120, callback=(watch := Watch())
    )
    assert watch.seen == ("tile 1/2", "tile 2/2", "step 1/1")


def free_memory(monkeypatch, n):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": n}))


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
    y, level, z = draw(1, 1, 128, 128), torch.tensor([2]), draw(1, 3)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        prior._restore(y, level, z)
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = list(itertools.accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))
    assert 0.5 < max(held) / y.numel() / 4 / prior.locality.floats_per_pixel < 1


def test_the_memory_of_many_samples_counts(camera, digits, monkeypatch):
    """Drawn in one batch, evaluated one by one: the same draws."""
    asked = {"solver": "one-shot", "samples": 3}
    expected = rgmkit.restore(camera[:1, :, :40, :50], "gaussian-noise:noise=0.1", digits, **asked)
    batches = []
    evaluate = NetworkPrior._restore
    monkeypatch.setattr(
        NetworkPrior, "_restore", lambda self, y, *rest: batches.append(len(y)) or evaluate(self, y, *rest)
    )
    free_memory(monkeypatch, 2 * 40 * 50 * digits.locality.floats_per_pixel * 4)
    solution = rgmkit.restore(camera[:1, :, :40, :50], "gaussian-noise:noise=0.1", digits, **asked)
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


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (57, 1), (3, 260)], ids=str)
@pytest.mark.parametrize("process", [None, MultiscaleProcess(levels=4)], ids=["gaussian", "multiscale"])
def test_any_size_and_aspect(process, size):
    prior = unet(process=process)
    y = draw(2, 1, *size).sigmoid()
    whole = rgmkit.restore(y, "gaussian-noise:noise=0.1", prior)
    assert whole.x.shape == y.shape and bool(whole.x.isfinite().all())
    tiled = rgmkit.restore(y, "gaussian-noise:noise=0.1", prior, tile=40)
    torch.testing.assert_close(tiled.x, whole.x, atol=1e-3, rtol=0)


def run(capsys, *args):
    """What a command says on stderr, once it has ended well."""
    with pytest.raises(SystemExit) as exited:
        main([str(arg) for arg in args])
    said = capsys.readouterr().err
    assert exited.value.code == 0, said
    return said


NESTED = {"compose": "compose:of=[{use: blur, std: 1}, {use: downsample, factor: 3}]"}


@pytest.mark.parametrize("name", sorted(component.name for component in plugins.list_components("degradation")))
def test_every_degradation_measures_and_restores_an_odd_photograph(name, capsys, tmp_path, digits):
    if name.startswith("deepinv."):
        pytest.skip("tested with deepinv")
    photo, y, x = (tmp_path / file for file in ("photo.png", "y.png", "x.png"))
    images.write(photo, torch.from_numpy(data.coffee()[:53, :41]).movedim(-1, 0) / 255)
    spec = NESTED.get(name, name)
    said = run(capsys, "degrade", photo, "-d", spec, "-o", y)
    assert ("cropped" in said) == (name in ("downsample", "compose"))
    run(capsys, "restore", y, "-d", spec, "--prior", "digits", "--solver", "one-shot", "-o", x, "--truth", photo)
    height, width = images.read(x).x.shape[-2:]
    assert 51 <= height <= 53 and 39 <= width <= 41 and images.read(x).x.shape[1] == 3


def stored(path, array):
    """The whole numbers (H, W, C) of an 8 or 16-bit file, alpha last."""
    picture = images.read(path)
    x = picture.x if picture.alpha is None else torch.cat([picture.x, picture.alpha], 1)
    assert picture.bits == 8 * array.dtype.itemsize
    return (x[0].movedim(0, -1).double().numpy() * np.iinfo(array.dtype).max).round().astype(array.dtype)


@pytest.mark.parametrize(
    "ending, channels, dtype", [*itertools.product(["png", "tiff"], [1, 2, 3, 4], [np.uint8, np.uint16])]
)
def test_depth_and_alpha_are_kept(ending, channels, dtype, capsys, tmp_path):
    """Through degrade and restore, in tiles, and at another size."""
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (161, 21, channels)).astype(dtype)
    photo, y, x = (tmp_path / f"{name}.{ending}" for name in ("photo", "y", "x"))
    images.write(photo, as_picture(array))
    assert (stored(photo, array) == array).all()
    restoring = ("--prior", "digits", "--solver", "one-shot", "--tile", 48, "-o", x)
    run(capsys, "degrade", photo, "-d", "gaussian-noise:noise=0.01", "-o", y)
    said = run(capsys, "restore", y, "-d", "gaussian-noise:noise=0.01", *restoring)
    assert "2 tiles" in said and ("each of the 3 channels" in said) == (channels > 2)
    colours = slice(0, channels - (channels % 2 == 0))
    for path in (y, x):
        found = stored(path, array)
        assert found.shape == array.shape
        assert (found[..., colours.stop :] == array[..., colours.stop :]).all()  # alpha, to the bit
    assert len(np.unique(stored(x, array)[..., colours])) > (256 if dtype == np.uint16 else 16)
    run(capsys, "degrade", photo, "-d", "downsample:factor=2,noise=0.01", "-o", y)
    run(capsys, "restore", y, "-d", "downsample:factor=2,noise=0.01", *restoring)
    small, large = stored(y, array), stored(x, array)
    assert small.shape == (80, 10, channels) and large.shape == (160, 20, channels)
    assert (large[..., colours.stop :] == small.repeat(2, 0).repeat(2, 1)[..., colours.stop :]).all()


def as_picture(array):
    x = torch.from_numpy(array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)).movedim(-1, 0)[None]
    colours = x.shape[1] - (x.shape[1] % 2 == 0)
    return images.Picture(x[:, :colours], x[:, colours:] if colours < x.shape[1] else None, 8 * array.dtype.itemsize)


TASKS = [
    "blur:std=1.6,noise=0.02",
    "downsample:factor=2,noise=0.01",
    "inpaint:keep=0.5,noise=0",
    "gaussian-noise:noise=0.08",
]


@pytest.mark.parametrize("spec", TASKS)
def test_the_shipped_network_for_photographs(camera, spec):
    """Better than total variation with its default weight, in 16 evaluations or fewer."""
    x = camera[:1, :, 100:196, 120:216]
    degradation = rgmkit.degradation(spec)
    y = degradation(x, generator=Streams(0, [0]))
    network, smooth = (rgmkit.restore(y, degradation, prior) for prior in ("photographs", "tv"))
    assert network.nfe <= 16 and psnr(network.x.clamp(0, 1), x) > psnr(smooth.x.clamp(0, 1), x) + 0.2
