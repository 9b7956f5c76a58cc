"""A network that was trained with a squared error is a denoiser: its card and `generate` say so."""

from __future__ import annotations

import warnings

import pytest
import torch

import rgmkit
from rgmkit.core.inverse_network import InverseNetwork
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError
from rgmkit.models.folder import CARD, locate, save
from rgmkit.models.model_card import DENOISER, GENERATIVE

NOT_MADE_FOR_IT = "denoiser, trained with a mean squared error, and not made for generation"


@pytest.fixture(scope="module")
def denoiser() -> rgmkit.RestoringPrior:
    return rgmkit.load("photographs")


def test_generate_warns_of_a_denoiser(denoiser):
    with pytest.warns(UserWarning, match=NOT_MADE_FOR_IT):
        rgmkit.generate(denoiser, 1, shape=(1, 8, 8))


def test_no_warning_for_a_generative_model_or_a_chosen_solver(denoiser):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rgmkit.generate("digits", 1)
        rgmkit.generate(denoiser, 1, shape=(1, 8, 8), solver="cascade:eta=1")


def test_the_command_line_says_it_in_one_line(run, tmp_path):
    done = run("generate", "photographs", "-n", 1, "-o", tmp_path / "x.png")
    assert done.code == 0 and done.err.startswith("warning: ") and NOT_MADE_FOR_IT in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("objective", "sentence", "use"),
    [
        ("mmse", DENOISER, "rgmkit restore"),
        ({"use": "mmse", "power": 0}, DENOISER, "rgmkit restore"),
        ("relativistic:gamma=0.1", GENERATIVE, "rgmkit generate"),
        (None, GENERATIVE, "rgmkit generate"),
        ("python.Perceptual", GENERATIVE, "rgmkit generate"),
    ],
    ids=str,
)
def test_the_card_of_a_model_says_what_it_is(denoiser, tmp_path, objective, sentence, use):
    config = rgmkit.models.read_config("photographs")
    config["objective"] = objective
    save(tmp_path, denoiser, config, {"steps": 1})
    card = (tmp_path / CARD).read_text(encoding="utf-8")
    assert sentence in card and use in card
    assert rgmkit.load(tmp_path).generative == (sentence is GENERATIVE)


def test_the_cards_of_the_shipped_models_say_what_they_are():
    uses = {"photographs": "rgmkit restore", "digits": "rgmkit generate"}
    for name, use in uses.items():
        card = (locate(name) / CARD).read_text(encoding="utf-8")
        assert (GENERATIVE if name == "digits" else DENOISER) in " ".join(card.split()) and use in card


def test_networks_that_map_measurements_to_images():
    for wrong in ({"factor": 0}, {"channels": 0}):
        with pytest.raises(ConfigError, match="give 1 or more"):
            InverseNetwork(network=torch.nn.Identity(), **wrong)
    y = torch.rand(2, 2, 4, 4, generator=seeded(0))
    assert InverseNetwork(network=torch.nn.Identity(), factor=1, channels=1).invert(y).equal(y)
    each = InverseNetwork(network=lambda x: x * torch.tensor([1.0, 2, 6]).view(3, 1, 1))  # of three channels by default
    torch.testing.assert_close(each.invert(y), 3 * y)
