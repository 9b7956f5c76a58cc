"""YAML files, archives and environments that are odd or hostile: one line each, at once."""

from __future__ import annotations

import io
import tarfile
import warnings

import pytest
import torch
from PIL import Image

import rgmkit
from rgmkit import models
from rgmkit.config import YAMLError, load_yaml
from rgmkit.config.construct import make
from rgmkit.errors import CheckpointError, ConfigError, DataError, PluginError
from rgmkit.experiments.config import read_grid
from rgmkit.models.lookup import set_boundaries
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.data import tar
from rgmkit.training.data.archives import Archive, Shards
from rgmkit.training.data.files import Folder

TRAINING = {"data": "gmm", "network": "mlp"}
GRID = {"data": {"skimage": "camera"}, "degradation": "blur", "method": {"prior": "tv"}}
BOMB = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: !!python/object:os.system x", "constructor for the tag"),
        ("a: !!omap [b: 1]", "constructor for the tag"),
        ("a: !!set {b, c}", "constructor for the tag"),
        ("a: !!binary aGVsbG8=", "constructor for the tag"),
        ("a: !!timestamp 2020-01-01", "constructor for the tag"),
        (f"a: &a [x]\n{BOMB}", "more than 1000000 values"),
        ("a: &a [*a]", "contains itself"),
        ("a: &a {use: *a}", "contains itself"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("a: !!int abc", "cannot be read"),
        ("a: !!int ''", "cannot be read"),
        ("a: !!bool maybe", "cannot be read"),
        ("a: !!map [b]", "cannot be read"),
        ("a: " + "1" * 5000, "cannot be read"),
    ],
)
def test_yaml_that_is_no_configuration(tmp_path, text, words):
    with pytest.raises(YAMLError, match=words):
        load_yaml(text)
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words) as raised:
        read_configuration(tmp_path / "a.yaml")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500


def test_a_model_card_with_yaml_that_cannot_be_read(tmp_path):
    for file in models.locate("digits").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "README.md").write_text("---\nsteps: !!int abc\n---\n")
    with pytest.raises(CheckpointError, match=r"README.md is damaged"):
        models.describe(tmp_path)


def test_anchors_and_merges_are_read():
    text = "a: &a {x: 1, y: [2, 3]}\nb: {<<: *a, x: 2}\nc: [*a, *a]\n"
    assert load_yaml(text)["b"] == {"x": 2, "y": [2, 3]} and load_yaml(text)["c"] == [{"x": 1, "y": [2, 3]}] * 2


@pytest.mark.parametrize("seed", [True, 1.5, "1", [1], 2**64, -(2**64)])
def test_a_seed_is_a_whole_number_of_64_bits(seed):
    with pytest.raises(ConfigError, match=r"^seed is .*: give a whole number"):
        read_configuration({**TRAINING, "seed": seed})


@pytest.mark.parametrize("change", [{"network": {"use": 3}}, {"network": ["mlp"]}, {"process": 0}, {"plugins": 0}])
def test_what_is_no_component_is_named(change):
    with pytest.raises(ConfigError, match=rf"^{next(iter(change))}\b"):
        read_configuration({**TRAINING, **change})


@pytest.mark.parametrize("of", [5, None, "blur"])
def test_steps_that_are_no_list(of):
    degradation = {"use": "compose", "of": of}
    with pytest.raises(ConfigError, match=r"^degradation\[0\]\.of is .*: give a list"):
        read_grid({**GRID, "degradation": degradation})
    process = {"use": "severity", "degradation": degradation}
    assert set_boundaries({"process": process}, "circular") == {"process": process}


def test_options_whose_name_is_a_number():
    with pytest.raises(ConfigError, match=r"^method\[0\]\.prior\.3 is not an option"):
        read_grid({**GRID, "method": [{"prior": {"use": "tv", 3: 4}}]})


@pytest.mark.parametrize("file", ["a\0b.py", "x" * 300])
def test_plugins_with_a_name_that_no_file_can_have(file):
    with pytest.raises(PluginError, match="no plugin file"):
        read_configuration({**TRAINING, "plugins": [file]})


def test_levels_that_no_memory_holds():
    with pytest.raises(ConfigError, match="at most 100000"):
        rgmkit.process("gaussian", levels=10**9)


def test_out_of_memory_in_a_constructor_is_no_mistake_in_its_options():
    class Large:
        def __init__(self, *, width: int) -> None:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="allocate memory"):
        make(Large, {"width": 1})


@pytest.mark.parametrize("variables", [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "x"}, {"WORLD_SIZE": "2", "RANK": "1"}])
def test_a_launch_that_is_half_set(monkeypatch, variables):
    from accelerate import PartialState

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        with pytest.raises(ConfigError, match=r"the environment says WORLD_SIZE=.*: start with accelerate launch"):
            ProcessGroup.join("cpu")
    finally:
        PartialState._reset_state()


def picture(value):
    file = io.BytesIO()
    Image.new("L", (8, 8), value).save(file, "PNG")
    return file.getvalue()


def add(archive, name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(data))


def test_links_in_an_archive_are_the_pictures_that_they_are_in_a_folder(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "in/first.png", picture(10))
        add(archive, "hard.png", type=tarfile.LNKTYPE, linkname="in/first.png")
        add(archive, "in/soft.png", type=tarfile.SYMTYPE, linkname="../last.png")
        add(archive, "in/chain.png", type=tarfile.SYMTYPE, linkname="soft.png")
        add(archive, "last.png", picture(200))
    with tarfile.open(tmp_path / "a.tar") as archive:
        archive.extractall(tmp_path / "a", filter="tar")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        packed = Archive(path=tmp_path / "a.tar", size=8, channels="grey")
    folder = Folder(path=tmp_path / "a", size=8, channels="grey")
    assert len(packed) == len(folder) == 5
    assert [packed.name(i).partition("a.tar/")[2] for i in range(5)] == [
        file.relative_to(tmp_path / "a").as_posix() for file in folder.files
    ]
    assert all(torch.equal(packed.picture(i), folder.picture(i)) for i in range(5))


def test_an_archive_without_links_is_gone_through_once(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "a.png", picture(10))
    passes, members = [], tar._members
    monkeypatch.setattr(tar, "_members", lambda file: passes.append(1) or members(file))
    assert len(Archive(path=tmp_path / "a.tar", size=8)) == len(passes) == 1


def test_links_that_lead_out_of_an_archive_are_counted(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "a.png", picture(10))
        for i, target in enumerate(("/etc/passwd", "gone.png", "loop3.png", "loop2.png")):
            add(archive, f"loop{i}.png", type=tarfile.SYMTYPE, linkname=target)
    with pytest.warns(UserWarning, match="4 links are left out"):
        data = Archive(path=tmp_path / "a.tar", size=8, channels="grey")
    assert len(data) == 1


def test_endings_of_shards_in_capitals_and_after_a_dot(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("a.PNG", "b.png", "c.d.png", "e.txt"):
            add(archive, name, picture(10))
    with pytest.warns(UserWarning, match=r"1 files end in \.png after a further dot"):
        data = Shards(path=tmp_path / "a.tar", ending="png", size=8, channels="grey")
    assert len(data) == 2


def test_a_pipe_is_no_archive(tmp_path):
    os = pytest.importorskip("os")
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(DataError, match="is a device or a pipe"):
        Archive(path=tmp_path / "a.tar", size=8)
