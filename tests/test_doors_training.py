"""What the end of a training needs is tried before it begins."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import nn

import rgmkit
from rgmkit.errors import ConfigError, DataError, is_out_of_memory
from rgmkit.training import loop

CONFIG = {"data": "gmm", "training": {"steps": 2, "batch": 4, "preview_every": 0}}


class Tied(nn.Module):
    """A network with shared weights, and a buffer that is a part of one of them."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
        self.b.weight = self.a.weight
        self.register_buffer("part", self.a.weight.detach()[:1])

    def forward(self, y, t, z):
        return self.b(self.a(y))


class Expanded(Tied):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1).expand(3))


class ExtraState(Tied):
    def get_extra_state(self):
        return {"count": 1}

    def set_extra_state(self, state):
        pass


class Late(Tied):
    def forward(self, y, t, z):
        self.register_buffer("late", torch.ones(3))
        return super().forward(y, t, z)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 1)

    def forward(self, x, t):
        return self.a(x)[:, 0]


def train(network, out, **changes):
    config = {**CONFIG, "network": network, "critic": Critic(), **changes}
    return rgmkit.train(config, out=out, progress=False)


def test_shared_weights_are_saved_and_loaded(tmp_path):
    folder = train(Tied(), tmp_path / "out")
    x = rgmkit.generate(rgmkit.load(folder, network=Tied()), 3)
    assert x.isfinite().all()


@pytest.mark.parametrize(
    ("network", "words"),
    [(Expanded, "could not be saved and loaded"), (ExtraState, "could not be saved"), (Late, "late is made when")],
)
def test_weights_that_cannot_be_saved_are_found_before_the_training(tmp_path, monkeypatch, network, words):
    monkeypatch.setattr(loop, "_train", lambda *_, **__: pytest.fail("the training has begun"))
    with pytest.raises(ConfigError, match=words) as raised:
        train(network(), tmp_path / "out")
    assert "\n" not in str(raised.value) and not (tmp_path / "out").exists()


def test_numbers_of_numpy_in_a_configuration_are_saved(tmp_path):
    folder = train(Tied(), tmp_path / "out", seed=0, training={**CONFIG["training"], "lr": np.float64(1e-3)})
    assert "lr: 0.001" in (folder / "config.yaml").read_text()


def test_out_of_memory_is_said_of_nothing_else():
    for text, words in (
        ("Some tensors share memory", "Some tensors"),
        ("can't allocate memory: 80 bytes", "out of memory"),
    ):
        error = RuntimeError(text)
        assert is_out_of_memory(error) == (words == "out of memory")


@pytest.mark.skipif(os.name != "posix", reason="names of POSIX are bytes")
def test_a_folder_whose_name_is_not_utf_8_is_refused_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_train", lambda *_, **__: pytest.fail("the training has begun"))
    with pytest.raises(DataError, match="is not UTF-8"):
        train(Tied(), tmp_path / os.fsdecode(b"\xff"))
    assert not list(tmp_path.iterdir())
