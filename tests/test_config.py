from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pytest
from torch import nn

import rgmkit
from rgmkit.config import (
    Spec,
    build,
    dump_flow,
    dump_yaml,
    load_yaml,
    make,
    options_of,
    override,
    parse_spec,
    read_yaml,
    spec_text,
    take_plugins,
)
from rgmkit.core.degradation import Degradation
from rgmkit.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from nowhere import Unknown


class Everything:
    """An option of each type that a constructor may ask for."""

    def __init__(
        self,
        *,
        flag: bool = False,
        steps: int = 1,
        rate: float = 0.1,
        title: str = "",
        file: Path | None = None,
        kernel: Literal["gaussian", "motion"] | Path = "gaussian",
        label: str | Path = "",
        weight: float | Literal["auto"] = "auto",
        size: tuple[int, int] = (1, 1),
        widths: tuple[int, ...] = (),
        rates: list[float] | None = None,
        files: Sequence[Path] = (),
        table: dict[str, float] | None = None,
        marked: Annotated[int, "a mark"] = 0,
        unknown: Unknown = None,
        anything: Any = None,
    ) -> None:
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})


class Outer:
    """Components inside a component."""

    def __init__(self, *, degradation: Degradation, network: nn.Module | None = None, seed: int = 0) -> None:
        self.degradation, self.network, self.seed = degradation, network, seed


@pytest.mark.parametrize(
    ("name", "value", "made"),
    [
        ("flag", True, True),
        ("steps", 3, 3),
        ("rate", 1, 1.0),
        ("rate", np.float32(0.5), 0.5),
        ("steps", np.int64(3), 3),
        ("title", "a", "a"),
        ("file", "a.png", Path("/base/a.png")),
        ("file", "/a.png", Path("/a.png")),
        ("file", None, None),
        ("kernel", "motion", "motion"),
        ("kernel", "k.png", Path("/base/k.png")),
        ("label", "a.txt", Path("/base/a.txt")),
        ("weight", 2, 2.0),
        ("weight", "auto", "auto"),
        ("size", [2, 3], (2, 3)),
        ("widths", [1, 2, 3], (1, 2, 3)),
        ("rates", [1, 2.5], [1.0, 2.5]),
        ("files", ["a", "b"], [Path("/base/a"), Path("/base/b")]),
        ("table", {"a": 1}, {"a": 1.0}),
        ("marked", 2, 2),
        ("unknown", "what", "what"),
        ("anything", {"a": [1]}, {"a": [1]}),
    ],
)
def test_value_becomes_its_type(name, value, made):
    got = getattr(make(Everything, {name: value}, folder=Path("/base")), name)
    assert got == made and type(got) is type(made)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("flag", 1, "true or false"),
        ("flag", "yes", "true or false"),
        ("steps", True, "a whole number"),
        ("steps", 2.0, "a whole number"),
        ("steps", "2", "a whole number"),
        ("steps", None, "a whole number"),
        ("rate", False, "a number"),
        ("rate", "fast", "a number"),
        ("title", 3, "text"),
        ("file", 3, "a file path or null"),
        ("kernel", 3, "'gaussian', 'motion' or a file path"),
        ("weight", "heavy", "a number or 'auto'"),
        ("size", [1, 2, 3], "a list of a whole number, a whole number"),
        ("size", 5, "a list of"),
        ("widths", ["a"], "a list, each item a whole number"),
        ("table", [1], "a mapping or null"),
        ("marked", "x", "a whole number"),
    ],
)
def test_wrong_type_names_the_path_the_value_and_the_type(name, value, expected):
    with pytest.raises(ConfigError) as raised:
        make(Everything, {name: value}, path="outer.inner")
    text = str(raised.value)
    assert text.startswith(f"outer.inner.{name} is {value!r}: give ") and expected in text


def test_unknown_option_gets_the_nearest_and_missing_ones_are_named():
    with pytest.raises(ConfigError, match=r"^blur\.stp is not an option of blur: did you mean 'steps'\?"):
        make(Everything, {"stp": 1}, path="blur")
    with pytest.raises(ConfigError, match=r"x needs x\.degradation \(a Degradation\): give it"):
        make(Outer, {}, path="x")
    with pytest.raises(ConfigError, match=r"process\.level is not an option of process 'gaussian': .*'levels'"):
        build("process", {"use": "gaussian", "level": 3})
    with pytest.raises(ConfigError, match=r"process\.levels is 'four': give a whole number"):
        build("process", {"use": "gaussian", "levels": "four"})


def test_components_nest_to_any_depth():
    outer = make(Outer, {"degradation": {"use": "gaussian-noise", "noise": 1e-1}}, path="outer")
    assert outer.degradation.noise == 0.1
    assert make(Outer, {"degradation": "gaussian-noise:noise=0.2"}).degradation.noise == 0.2
    ready = rgmkit.degradation("gaussian-noise", noise=0.3)
    assert make(Outer, {"degradation": ready}).degradation is ready
    spec = {"use": "severity", "levels": 2, "degradation": {"use": "gaussian-noise", "noise": "loud"}}
    with pytest.raises(ConfigError, match=r"process\.degradation\.noise is 'loud': give a number"):
        build("process", spec)
    with pytest.raises(ConfigError, match=r"outer\.degradation is 3: give a Degradation"):
        make(Outer, {"degradation": 3}, path="outer")
    with pytest.raises(ConfigError, match=r"outer\.degradation\.use is missing: name a degradation, one of "):
        make(Outer, {"degradation": {"noise": 1}}, path="outer")
    with pytest.raises(PluginError, match="nearest is 'gaussian-noise'"):
        make(Outer, {"degradation": "gaussian-nose"})


def test_built_object_is_passed_through_if_it_is_of_the_kind():
    noise = rgmkit.degradation("gaussian-noise", noise=0.1)
    assert build("degradation", noise) is noise
    with pytest.raises(ConfigError, match=r"solver is .*: give a solver, its name"):
        build("solver", noise)


def test_injected_arguments_go_where_they_are_asked_for_and_are_no_options():
    assert make(Outer, {"degradation": "gaussian-noise"}, seed=7, elsewhere=1).seed == 7
    with pytest.raises(ConfigError, match=r"seed is not an option of Outer \(its options are degradation, network\)"):
        make(Outer, {"seed": 1}, seed=7)


def test_errors_of_a_constructor_name_the_path():
    with pytest.raises(ConfigError, match=r"^degradation: noise is -1\.0: give a standard deviation"):
        rgmkit.degradation("gaussian-noise", noise=-1)

    class Picky:
        def __init__(self, *, odd: int) -> None:
            raise ValueError("odd must be odd")

    with pytest.raises(ConfigError, match=r"^x: odd must be odd"):
        make(Picky, {"odd": 2}, path="x")


def test_options_that_are_passed_on_and_dataclasses():
    class Base:
        def __init__(self, *, noise: float = 0.0) -> None:
            self.noise = noise

    class Derived(Base):
        def __init__(self, *, angle: float, **rest: Any) -> None:
            super().__init__(**rest)
            self.angle = angle

    assert list(options_of(Derived)) == ["angle", "noise"]
    assert make(Derived, {"angle": 1, "noise": 2}).noise == 2.0
    with pytest.raises(ConfigError, match="nose is not an option of Derived: did you mean 'noise'"):
        make(Derived, {"angle": 1, "nose": 2})

    @dataclass(kw_only=True)
    class Run:
        steps: int
        rate: float = 0.1

    assert make(Run, {"steps": 1, "rate": 1}) == Run(steps=1, rate=1.0)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("tv", Spec("tv")),
        ("tv:", Spec("tv")),
        ("rain@acme-rain:a=1", Spec("rain@acme-rain", {"a": 1})),
        ("blur:std=2,noise=1e-2", Spec("blur", {"std": 2, "noise": 0.01})),
        ("a:b=[1, 2],c={d: 1, e: 2}", Spec("a", {"b": [1, 2], "c": {"d": 1, "e": 2}})),
        ("a:f='x,y',g=on", Spec("a", {"f": "x,y", "g": "on"})),
        ("a: b = null , c=true", Spec("a", {"b": None, "c": True})),
        ("blur:kernel=/a:b/k.png", Spec("blur", {"kernel": "/a:b/k.png"})),
    ],
)  # fmt: skip
def test_spec_strings(text, spec):
    assert parse_spec(text) == spec


@pytest.mark.parametrize("text", ["", ":a=1", "blur:std", "blur:std=", "blur:=2", "blur:a=1,,b=2", "blur:a=1,a=2",
                                  "blur:a=[1,2", "blur:a=1]", "blur:a='x", "blur:a=*x"])  # fmt: skip
def test_malformed_spec_strings(text):
    with pytest.raises(ConfigError) as raised:
        parse_spec(text)
    assert "\n" not in str(raised.value)


def test_yaml_numbers_are_numbers_and_words_are_words(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a: 1e-3\nb: 1.5e+2\nc: -2\nd: .5\ne: 010\nf: no\ng: 12:30\nh: 2024-01-01\ni: ~\nj: false\nk: -\n")
    values = [0.001, 150.0, -2, 0.5, "010", "no", "12:30", "2024-01-01", None, False, "-"]
    file.write_text(file.read_text().replace("k: -\n", "k: '-'\n"))
    assert list(read_yaml(file).values()) == values
    assert load_yaml("[0o17, 0x1F, +1, -.inf, 1_000, =, 0b1, yes]") == [
        15,
        31,
        1,
        -float("inf"),
        "1_000",
        "=",
        "0b1",
        "yes",
    ]


WORDS = """1e-2 1e3 1E5 -1e+2 .5 5. +.5e1 0 -0 017 0o17 0x1F 0b1 1_000 12:30 190:20:30 2024-01-01 ~ null Null NULL
true True TRUE false on On off yes y n NO .inf -.INF .nan << = - ? : ... --- # & * ! | > % @ ` it's a,b (a {a} [a
a: #b" 'a' {use:tv}"""
ALPHABETS = [
    "0123456789+-.eExob_:", "~nulNtrueTfalsFyYoOfinaNI.", "\t\n\r\x85\u2028\u2029\ufeff \x00\x07\x7f",
    "'\"\\,[]{}()#&*!|>%@`?:-=<", "äß漢😀\U0010ffff\ufffe\ud800", "ab c",
]  # fmt: skip


def texts(count: int) -> list[str]:
    """Words that a YAML reader may take for something else, and random text of characters that mean something to it."""
    draw = random.Random(0)
    letters = ["".join(draw.sample(ALPHABETS, draw.randint(1, 3))) for _ in range(count)]
    edges = ["", " ", " a", "a ", "a b", "a: b", "a #b", "- a", "a\\", '"', "\ud800"]
    return [*WORDS.split(), *edges, *("".join(draw.choices(a, k=draw.choice([1, 2, 3, 5, 8, 100]))) for a in letters)]


def test_any_text_reads_back_as_it_was_written():
    content = {text: [text, {"a": [text], text: text}] for text in texts(250)}
    assert load_yaml(dump_yaml(content)) == content
    for text in content:
        for value in (text, [text, {text: text}]):
            written = dump_flow(value)
            assert load_yaml(written) == value and len(written.splitlines()) == 1
            assert parse_spec(spec_text({"use": "x", "a": value, "b": value})) == Spec("x", {"a": value, "b": value})


@pytest.mark.parametrize(
    "value", [0, -7, 10**20, 0.0, 1e-5, -1.5e300, 1e22, 0.1, float("inf"), True, False, None, [], {}]
)
def test_any_plain_value_reads_back_with_its_type(value):
    for written in (dump_yaml({"a": value}), dump_flow({"a": value})):
        (read,) = load_yaml(written).values()
        assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "'a' is given twice (line 2, column 1)"),
        ("a: [1\n", "is not valid YAML"),
        ("- 1\n", "holds a list"),
        ("1: a\n", "the key 1"),
        ("a: !!python/object:os.system {}\n", "is not valid YAML"),
        ("\x80", "is not valid YAML"),
    ],
)
def test_malformed_yaml(text, message, tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as raised:
        read_yaml(file)
    assert message in str(raised.value) and str(file) in str(raised.value) and "\n" not in str(raised.value)


def test_missing_yaml(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*none\.yaml: No such file"):
        read_yaml(tmp_path / "none.yaml")


def test_override_copies_and_goes_through_bare_names():
    options = {"process": "gaussian:levels=4", "train": {"steps": 1}}
    changed = override(options, ["process.schedule=vp", "train.steps=2", "seed=1", "new.deep.key=[1, 2]"])
    assert changed == {
        "process": {"use": "gaussian", "levels": 4, "schedule": "vp"},
        "train": {"steps": 2},
        "seed": 1,
        "new": {"deep": {"key": [1, 2]}},
    }
    assert options["train"] == {"steps": 1}
    for bad in ["train", "=1", "train..x=1", "train.steps.more=1"]:
        with pytest.raises(ConfigError):
            override(options, [bad])


def test_plugins_of_a_yaml_are_relative_to_it(tmp_path):
    (tmp_path / "config_ops.py").write_text(
        "import rgmkit\n\nclass Dim(rgmkit.Degradation):\n    def A(self, x):\n        return x / 4\n\n"
        "@rgmkit.hookimpl\ndef rgmkit_components():\n    return [rgmkit.Component('degradation', 'dim', Dim)]\n"
    )
    rest = take_plugins({"plugins": ["config_ops.py"], "a": 1}, tmp_path)
    assert rest == {"a": 1}
    assert rgmkit.degradation("dim").linear
    with pytest.raises(ConfigError, match="plugins is 3: give a list"):
        take_plugins({"plugins": 3}, tmp_path)
    with pytest.raises(PluginError, match="no plugin file"):
        take_plugins({"plugins": ["none.py"]}, tmp_path)


class OfBefore(Degradation):
    """Its constructor says that noise is a number, as all did once."""

    def __init__(self, *, noise: float = 0.0) -> None:
        super().__init__(noise=noise)

    def A(self, x):
        return x


def test_any_degradation_takes_any_noise_model():
    assert str(make(OfBefore, {"noise": "per-channel:std=[0.1,0.2]"}).noise) == "PerChannel(std=(0.1, 0.2))"


def test_an_annotation_that_cannot_be_read_allows_anything():
    assert make(Everything, {"unknown": 3}).unknown == 3
