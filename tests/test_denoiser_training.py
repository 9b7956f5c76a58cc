"""Training of a denoiser for grey and colour photographs: its options of data, levels, optimiser and objective."""

from __future__ import annotations

import pytest
import torch
from rgmkit_objectives.mmse import MMSE
from safetensors.torch import load_file
from torchvision.transforms.functional import rgb_to_grayscale

import rgmkit
from rgmkit.core.objective import Pair, no_critic
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError
from rgmkit.images import write
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.data.files import Folder
from rgmkit.training.draws import draw_batch, draw_levels
from rgmkit.training.muon import Muon
from rgmkit.training.setup import set_up

OPTIONS = {"grey": 0.3, "between_levels": True, "optimizer": "muon", "warmup": 3}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(3):
        write(folder / f"{i}.png", torch.rand(3, 20, 24, generator=seeded(i)))
    network = {"use": "residual-unet", "channels": [1, 3], "widths": [8, 32], "down": [1, 1], "up": [1]}
    return {
        "data": {"use": "folder", "path": str(folder), "size": 16, "crop": "random", "flip": "all"},
        "process": {"use": "gaussian", "levels": 5, "schedule": "geometric", "r_first": 0.02, "r_last": 1},
        "network": network,
        "objective": {"use": "mmse", "scale": "log"},
        "training": {**OPTIONS, "steps": 6, "batch": 10, "checkpoint_every": 2, "preview_every": 0},
    }


def prepare(config):
    return set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))


def changed(config, **training):
    return {**config, "training": {**config["training"], **training}}


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path, monkeypatch, config):
    whole = load_file(rgmkit.train(config, out=tmp_path / "whole", progress=False) / "model.safetensors")

    step = rgmkit.training.loop.train_step

    def stop(run, batch):
        if run.step == 3:
            raise RuntimeError("stopped")
        return step(run, batch)

    monkeypatch.setattr("rgmkit.training.loop.train_step", stop)
    with pytest.raises(RuntimeError, match="stopped"):
        rgmkit.train(config, out=tmp_path / "parts", progress=False)
    monkeypatch.undo()
    parts = load_file(rgmkit.train(config, out=tmp_path / "parts", progress=False, resume=True) / "model.safetensors")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    before = prepare(config).network.state_dict()
    assert all(not torch.equal(whole[name], before[name]) for name in whole if "weight" in name)  # both entrances, too


def test_a_network_starts_from_one_with_fewer_blocks(tmp_path, config):
    small = rgmkit.train(config, out=tmp_path / "small", progress=False)
    larger = {**config, "start": str(small), "network": {**config["network"], "down": [2, 3], "up": [2]}}
    prior, grown = rgmkit.load(small), prepare(larger).network
    y, level = torch.rand(1, 3, 16, 16, generator=seeded(0)), torch.tensor([2])
    assert torch.equal(grown(y, level, torch.zeros(1, 0)), prior.network(y, level, torch.zeros(1, 0)))
    fresh = prepare({**larger, "start": None}).network
    assert torch.equal(grown.down[1][2].first.weight, fresh.down[1][2].first.weight)  # so that the new block learns


@pytest.mark.parametrize(
    ("change", "word"), [({"widths": [8, 48]}, "down.1.0.first"), ({"up": [0]}, "up.0.0"), ({"patch": 1}, "enter")]
)
def test_another_difference_than_more_blocks_is_refused(tmp_path, config, change, word):
    small = rgmkit.train(config, out=tmp_path / "small", progress=False)
    larger = {**config, "start": str(small), "network": {**config["network"], "down": [2, 2], **change}}
    with pytest.raises(ConfigError, match=word):
        prepare(larger)


def test_levels_lie_anywhere_between_two(config):
    run = prepare(changed(config, batch=1000, level_weights=[1, 0, 3, 1, 0]))
    level = draw_levels(run, seeded(0))
    assert level.is_floating_point() and level.min() >= 1 and level.max() == 4
    shares = [float(((level >= i) & (level < i + 1)).double().mean()) for i in range(1, 6)]
    assert shares == pytest.approx([0.2, 0, 0.6, 0.2, 0], abs=2e-3)
    between = level[(level > 3) & (level < 4)] - 3
    assert float(between.mean()) == pytest.approx(0.5, abs=0.05) and (level[level >= 4] == 4).all()
    assert float(level[:500].mean()) == pytest.approx(float(level[500:].mean()), abs=0.3)  # not in order


def test_some_rows_are_grey(config):
    batch = draw_batch(prepare(config), 0)
    colour, grey = batch.split_grey()
    assert colour.x.shape == (7, 3, 16, 16) and grey.noise.shape == (3, 1, 16, 16)
    torch.testing.assert_close(grey.x, rgb_to_grayscale(batch.x[7:]))
    assert torch.equal(torch.cat([colour.level, grey.level]), batch.level)
    batch = draw_batch(prepare(changed(config, grey=0.01)), 0)
    assert batch.split_grey() == [batch]
    parts = draw_batch(prepare(config), 0).split(5)  # as many as of the whole batch, wherever they are
    assert sum(len(each.x) for part in parts for each in part.split_grey() if each.x.shape[1] == 1) == 3


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"network": "unet"}, "between_levels"),
        ({"network": {"use": "residual-unet", "widths": [8], "down": [1], "up": []}}, "grey"),
        ({"objective": "kl", "critic": "unet-discriminator"}, "without a critic"),
    ],
)
def test_options_that_the_network_does_not_have(config, change, word):
    with pytest.raises(ConfigError, match=word):
        prepare({**config, **change})


def test_the_learning_rate_rises_first(config):
    run, rates = prepare(config), []
    for _ in range(5):
        rates.append(run.optimizer.param_groups[0]["lr"])
        run.optimizer.step()
        run.schedules[0].step()
    assert rates[0] == pytest.approx(1e-3 / 4) and rates[1] < rates[2] and rates[4] < rates[3]


def test_muon_makes_the_singular_values_of_an_update_alike():
    hidden, narrow = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((40, 32, 3, 3), (40, 3, 3, 3)))
    optimizer = Muon([hidden, narrow], 0.1, betas=(0.9, 0.99))
    hidden.grad = torch.randn(hidden.shape, generator=seeded(0)) * torch.logspace(-1, 1, 40)[:, None, None, None]
    narrow.grad = torch.randn(narrow.shape, generator=seeded(1))
    optimizer.step()
    values = torch.linalg.svdvals(hidden.detach().flatten(1))
    assert values.max() / values.min() < 2.2
    assert float(hidden.detach().square().mean().sqrt()) == pytest.approx(0.2 * 0.1, rel=0.25)
    torch.testing.assert_close(narrow.detach(), -0.1 * narrow.grad.sign())  # the first step of Adam


@pytest.mark.parametrize("scale", ["root", "log"])
def test_errors_on_another_scale(scale):
    x, variance = torch.zeros(2, 1, 2, 2), torch.tensor([0.01, 1.0])
    pair = Pair(x, x + torch.tensor([0.1, 3.0]).view(2, 1, 1, 1), torch.zeros(2).long(), torch.zeros(2), variance)
    error = (torch.tensor([0.01, 9.0]) + 1e-3 * variance) / variance**0.5
    expected = error.sqrt().mean() if scale == "root" else error.log().mean() / 2
    torch.testing.assert_close(MMSE(power=0.5, scale=scale).restorer_loss(no_critic, pair), expected)


def test_all_eight_positions_of_an_image(tmp_path):
    image = torch.arange(4.0).reshape(1, 2, 2) / 5
    write(tmp_path / "one.png", image)
    data = Folder(path=tmp_path, size=2, channels="grey", flip="all")
    found = {tuple(x.flatten().tolist()) for x in data.batch(200, seed=0, step=0)}
    assert len(found) == 8
