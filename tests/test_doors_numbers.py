"""Numbers that configurations, specs and model folders hold are finite, in range and of the right count."""

from __future__ import annotations

import math
import shutil
from types import SimpleNamespace
from typing import Annotated

import pytest
import torch
from safetensors.torch import load_file, save_file

import rgmkit
from rgmkit import models, plugins
from rgmkit.config import build, make, options_of, parse_spec, read_yaml
from rgmkit.config.yaml12 import dump_yaml
from rgmkit.core.bounds import Bounds, Count, NonNegative
from rgmkit.errors import CheckpointError, ConfigError, DataError, RgmkitError
from rgmkit.experiments.line_search import read_range
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.setup import set_up

SHIPPED = models.locate("digits")
TRAINING = {"data": "gmm", "network": "mlp", "process": "gaussian:levels=2"}
NEEDS = {
    "deepinv.Tomography": {"width": 16},
    "deepinv.MRI": {"shape": [16, 16]},
    "severity": {"degradation": "blur:std=1"},
    "compose": {"of": ["blur:std=1"]},
}


class Options:
    """Options of a third party."""

    def __init__(
        self,
        *,
        rate: float = 0.1,
        step: float | None = None,
        rates: tuple[float, ...] = (),
        count: Count = 1,
        gamma: NonNegative | None = None,
        foreign: Annotated[float, SimpleNamespace(gt=0)] = 1.0,  # as those of the package annotated-types
        limit: Annotated[float, Bounds(ge=0, finite=False)] = 1.0,
    ) -> None:
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("rate", math.nan, "a number, not NaN"),
        ("rate", math.inf, "a number, and finite"),
        ("rate", 1e300, "a number"),  # float32 is infinite there
        ("rate", 10**400, "a number"),
        ("step", math.nan, "a number or null, not NaN"),
        ("rates", [1, math.inf], "a list, each item a number, and finite"),
        ("count", 0, "a whole number of at least 1"),
        ("count", 2**64, "a whole number of at least 1"),
        ("gamma", -1, "a number of at least 0 or null"),
        ("foreign", 0, "a number above 0"),
        ("foreign", 1e-300, "a number above 0"),  # it is 0 in float32
        ("limit", math.nan, "a number of at least 0"),
    ],
)
def test_numbers_are_finite_and_in_range(name, value, expected):
    with pytest.raises(ConfigError) as raised:
        make(Options, {name: value}, path="own")
    assert str(raised.value).startswith(f"own.{name} is ") and expected in str(raised.value)
    assert len(str(raised.value)) < 200


def test_infinity_where_an_annotation_allows_it():
    assert make(Options, {"limit": math.inf}).limit == math.inf
    assert rgmkit.noise("per-channel", std=(0.1, math.inf)).std[1] == math.inf


@pytest.mark.parametrize("kind", ["degradation", "noise", "solver", "process", "objective"])
def test_no_component_takes_nan_or_an_infinite_number(kind):
    tried = 0
    for component in plugins.list_components(kind):
        needed = NEEDS.get(component.name, {})
        for name, option in options_of(plugins.load_class(kind, component.name)).items():
            for value in (math.nan, math.inf) if "float" in str(option.type) else ():
                if (component.name, name) == ("per-channel", "std"):
                    continue
                tried += 1
                with pytest.raises(RgmkitError):
                    build(kind, {"use": component.name, **needed, name: value})
    assert tried > 5


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("negative\ndimension"), TypeError("x")])
def test_an_error_in_a_constructor_is_one_line_with_its_place(error):
    class Broken:
        def __init__(self, *, size: int) -> None:
            raise error

    with pytest.raises(ConfigError, match=r"^network: [^\n]+$"):
        make(Broken, {"size": 0}, path="network")


@pytest.mark.parametrize(
    "change",
    [
        {"level_weights": [0, 0]},
        {"level_weights": [math.nan, 1]},
        {"level_weights": [-1, 2]},
        {"final_lr": math.nan},
        {"final_lr": -1},
        {"critic_limit": math.nan},
        {"checkpoint_minutes": -1},
        {"checkpoint_minutes": math.nan},
        {"threads": -1},
        {"betas": [2, 3]},
        0,
        [],
        "fast",
    ],
)
def test_training_settings_are_numbers_that_can_be_used(change):
    with pytest.raises(ConfigError, match=r"^training"):
        read_configuration({**TRAINING, "training": change})


@pytest.mark.parametrize("weights", [[1], [1, 1, 1]])
def test_level_weights_are_as_many_as_the_levels(weights):
    configuration = read_configuration({**TRAINING, "training": {"level_weights": weights, "batch": 4}})
    with pytest.raises(ConfigError, match=r"training\.level_weights has \d numbers: give 2"):
        set_up(configuration, ProcessGroup(torch.device("cpu")))


@pytest.mark.parametrize("objective", ["kl:gamma=-1", "kl:gamma=.nan", "relativistic:interval=0"])
def test_options_of_objectives_are_in_range(objective):
    with pytest.raises(ConfigError, match="give a"):
        build("objective", objective)


@pytest.mark.parametrize("value", ["#1", "---", "2 # two", "--- 5"])
def test_a_comment_or_a_marker_of_yaml_is_no_value(value):
    with pytest.raises(ConfigError, match="comment or marker"):
        parse_spec(f"blur:std={value}")


def test_texts_with_signs_of_yaml_are_values():
    assert parse_spec("folder:path='a #1',size=2").options == {"path": "a #1", "size": 2}
    assert parse_spec("folder:path=a#1.png").options == {"path": "a#1.png"}


@pytest.mark.parametrize("asked", [[None, 1], [math.nan, 1], [1, 2, math.inf], ["fast", 1]])
def test_what_is_tuned_is_a_range_or_choices(asked):
    with pytest.raises(ConfigError, match=r"^tune"):
        read_range("prior.weight", asked, path="tune", integer=False)


def broken_weights(name, change):
    return lambda folder: save_file(
        {key: change(value) if key == name else value for key, value in load_file(SHIPPED / models_file()).items()},
        folder / models_file(),
    )


def models_file():
    return "model.safetensors"


def images(**change):
    def write(folder):
        config = read_yaml(folder / "config.yaml")
        (folder / "config.yaml").write_text(dump_yaml({**config, "images": {**config["images"], **change}}))

    return write


FIRST = next(iter(load_file(SHIPPED / models_file())))


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (broken_weights(FIRST, lambda value: value * math.nan), "NaN or infinite"),
        (broken_weights(FIRST, lambda value: value + math.inf), "NaN or infinite"),
        (broken_weights(FIRST, lambda value: value.long()), "int64"),
        (broken_weights(FIRST, lambda value: value + 0j), "complex64"),
        (images(center=math.nan), "images.center is nan"),
        (images(scale=0), "images.scale is 0"),
        (images(shape=[0, 16, 16]), "images.shape is"),
    ],
)
def test_a_model_folder_with_numbers_that_give_no_image(tmp_path, damage, word):
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    rgmkit.load(folder)
    damage(folder)
    with pytest.raises(CheckpointError, match=word) as raised:
        rgmkit.load(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: rgmkit.generate("digits", 10**12),
        lambda: rgmkit.generate("digits", 1, shape=(1, 10**9, 10**9)),
        lambda: rgmkit.restore(torch.zeros(1, 8, 8), "gaussian-noise:noise=0.1", "digits", samples=10**10),
        lambda: rgmkit.restore(torch.zeros(1, 8, 8), "downsample:factor=1000000000", "digits"),
        lambda: rgmkit.restore(torch.zeros(1, 8, 8), "deepinv.Tomography:width=8,angles=100000000000", "tv"),
    ],
)
def test_what_exceeds_the_memory_is_refused_before_it_is_allocated(ask):
    with pytest.raises(DataError, match="GiB are free"):
        ask()


@pytest.mark.parametrize(
    "solver",
    [
        "langevin:iterations=1000001",
        "back-projection:evaluations=1000000000",
        "pnp-drs:iterations=1000000000",
        "cascade:evaluations=1000000000",
        "gradient-descent:iterations=1000000000",
        "hqs:iterations=1000000000",
        "deepinv.DPIR:iterations=1000000000",
    ],
)
def test_more_than_a_million_iterations_are_refused(solver):
    with pytest.raises(ConfigError, match="at most"):
        build("solver", solver)


def test_no_estimate_is_nan():
    with pytest.raises(ConfigError, match="no finite image"):
        rgmkit.restore(
            torch.rand(1, 8, 8), "gaussian-noise:noise=0.1", "digits", solver="langevin:last=1e-30,iterations=2"
        )
