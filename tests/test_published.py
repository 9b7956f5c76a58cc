"""The published recipes in `examples/`: their numbers, their networks, and that they train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import rgmkit
from rgmkit.config import build, make, read_yaml
from rgmkit.core.random import seeded
from rgmkit.images import write
from rgmkit.training.settings import TrainingSettings

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL, LARGE = (48_432_515, 12_741_249), (39_726_979, 27_736_833)
RECIPES = {
    "cifar10_gaussian": ("GaussianProcess", 4, 32, SMALL, (1e-3, 0.02, 15)),
    "cifar10_multiscale": ("MultiscaleProcess", 7, 32, SMALL, (1e-3, 0.02, 15)),
    "celebahq256": ("GaussianProcess", 4, 256, LARGE, (5e-5, 2.0, 10)),
}
recipes = pytest.mark.parametrize("name", RECIPES)


@recipes
def test_numbers_are_the_published_ones(name):
    config = read_yaml(EXAMPLES / f"{name}.yaml")
    kind, levels, _, _, weights = RECIPES[name]
    process, objective = build("process", config["process"]), build("objective", config["objective"])
    settings = make(TrainingSettings, config["training"])
    assert (type(process).__name__, process.levels) == (kind, levels) and process.a_by_level[-1] < 0.01
    assert (settings.fidelity, objective.gamma, objective.interval) == weights and type(objective).__name__ == "KL"
    assert (settings.lr, settings.critic_lr, settings.lr_end) == pytest.approx((1.6e-4, 1e-4, 1e-5))
    assert (settings.betas, settings.ema, settings.batch) == ((0.5, 0.9), 0.9999, 256)
    assert settings.spread == 0 and settings.final_steps == 0 and config["data"]["flip"] is True
    assert "NOT RUN" in (EXAMPLES / f"{name}.yaml").read_text()


@recipes
def test_networks_have_the_published_sizes(name):
    config = read_yaml(EXAMPLES / f"{name}.yaml")
    _, _, side, sizes, _ = RECIPES[name]
    with torch.device("meta"):
        networks = [build("network", config[part], image_shape=(3, side, side)) for part in ("network", "critic")]
    assert tuple(sum(weight.numel() for weight in network.parameters()) for network in networks) == sizes


def test_first_weights_are_drawn_as_published():
    """Uniform, of variance 1 / fan out in styles and discriminators, 2 / (both fans) elsewhere; answers near zero."""
    shape = {"image_shape": (3, 32, 32)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        restorer = build("network", "ncsnpp:width=32,style=64,latent=30", **shape)
        small, large = (build("network", f"ncsnpp-{size}discriminator:width=16", **shape) for size in ("", "large-"))
    t, z = torch.arange(4), torch.randn(4, 30, generator=seeded(0))
    y = torch.randn(4, 3, 32, 32, generator=seeded(1))
    assert restorer(y, t, z).abs().max() < 1e-3 and small(y, t).abs().max() < 1e-3
    expected = [
        (restorer.z_transform[1], 1 / 64),
        (restorer.all_modules[3].GroupNorm_0.style, 1 / 64),
        (restorer.all_modules[0], 2 / (32 + 128)),
        (restorer.all_modules[3].Conv_0, 2 / (9 * 64)),
        (small.conv3.conv1[0], 1 / (9 * 128)),
        (small.conv3.skip[0], 1 / 128),
        (small.end_linear, 1.0),
        (small.final_conv, 1e-10 / (9 * 128)),
        (large.final_conv, 1 / (9 * 128)),
    ]
    for layer, variance in expected:
        assert layer.weight.var().item() == pytest.approx(variance, rel=0.2)
        assert layer.weight.abs().max() <= (3 * variance) ** 0.5


@pytest.mark.slow
@recipes
def test_a_narrow_copy_trains(name, tmp_path):
    side, data = RECIPES[name][2], tmp_path / "data"
    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    if side == 32:
        data = tmp_path / "data.npz"
        np.savez(data, images=pixels)
    else:
        for i, picture in enumerate(pixels):
            write(data / f"{i}.png", torch.from_numpy(picture).movedim(-1, 0) / 255)
    narrow = ["network.width=4", "network.style=8", "network.blocks=1", "critic.width=2", "critic.embedding=4"]
    brief = ["training.steps=2", "training.batch=2", "training.preview_every=0"]
    out = rgmkit.train(
        EXAMPLES / f"{name}.yaml",
        out=tmp_path / "run",
        overrides=[f"data.path={data}", *narrow, *brief],
        progress=False,
    )
    assert rgmkit.generate(rgmkit.load(out), 1).shape == (1, 3, side, side)
