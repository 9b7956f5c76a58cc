"""Paths that are no files, names that cannot be written, operators that fail: one line, and nothing is written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import rgmkit
from rgmkit.config import read_yaml
from rgmkit.errors import ConfigError, DataError, IncompatibleError, RgmkitError
from rgmkit.experiments import run as run_grid
from rgmkit.images import read, write
from rgmkit.runtime.files import _machine, check_writable, write_aside

POSIX = pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")


@pytest.fixture
def odd(tmp_path):
    """Paths of a pipe, of a device, of a loop of links, and of a name that is too long."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    return [tmp_path / "pipe.png", Path("/dev/zero"), tmp_path / "loop.png", tmp_path / f"{'x' * 300}.png"]


@POSIX
def test_what_is_no_file_is_not_read(odd, tmp_path):
    for path in odd:
        with pytest.raises(DataError, match=r"is a device or a pipe|cannot be read"):
            read(path)
        with pytest.raises(ConfigError, match=r"is a device or a pipe|cannot be read"):
            read_yaml(path)
        for spec in (f"blur:kernel={path}", f"inpaint:mask={path}", f"gaussian-noise:noise='per-pixel:std={path}'"):
            with pytest.raises(RgmkitError):
                rgmkit.degradation(spec)(torch.zeros(1, 1, 8, 8))
    os.mkfifo(tmp_path / "std.npy")
    with pytest.raises(DataError, match="is a device or a pipe"):
        rgmkit.noise("per-pixel", std=tmp_path / "std.npy")


@POSIX
@pytest.mark.parametrize("command", [["degrade", "-d", "blur"], ["restore", "-d", "gaussian-noise"]])
def test_commands_refuse_them_as_input_and_output(run, odd, tmp_path, command):
    write(tmp_path / "a.png", torch.zeros(1, 8, 8))
    for path in odd:
        for files in ([path, "-o", tmp_path / "new.png"], [tmp_path / "a.png", "-o", path.with_suffix(".png")]):
            if files[-1] == Path("/dev/zero.png"):
                continue
            done = run(*command[:1], *map(str, files), *command[1:])
            assert done.code == 2 and done.err.count("\n") == 1 and "Traceback" not in done.err, done.err
    assert not (tmp_path / "new.png").exists() and (tmp_path / "pipe.png").is_fifo()


@POSIX
def test_a_device_is_not_replaced_by_a_file(tmp_path):
    with pytest.raises(DataError, match="is a device or a pipe"):
        check_writable(Path("/dev/null"))


def test_names_that_are_not_utf_8_are_refused_before_anything_is_computed(run, tmp_path):
    write(tmp_path / "a.png", torch.zeros(1, 8, 8))
    name = os.fsdecode(b"\xff.png")
    done = run("degrade", str(tmp_path / "a.png"), "-d", "blur", "-o", str(tmp_path / name))
    assert done.code == 2 and "is not UTF-8" in done.err
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_the_longest_name_can_be_written(tmp_path):
    name = "x" * 251 + ".png"
    write(tmp_path / name, torch.zeros(1, 8, 8))
    assert (tmp_path / name).is_file()


@POSIX
def test_a_temporary_file_does_not_follow_a_planted_link(tmp_path, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda count: "known")
    (tmp_path / "victim").write_text("intact")
    (tmp_path / f".a.txt.known-{_machine()}.{os.getpid()}.part").symlink_to("victim")
    with pytest.raises(DataError), write_aside(tmp_path / "a.txt") as part:
        part.write_text("overwritten")
    assert (tmp_path / "victim").read_text() == "intact" and not (tmp_path / "a.txt").exists()


def test_values_beyond_float32_are_refused(tmp_path):
    np.save(tmp_path / "y.npy", np.full((8, 8), 1e300))
    with pytest.raises(DataError, match="64 of 64 values that are NaN or infinite"):
        read(tmp_path / "y.npy")


class Failing(rgmkit.Degradation):
    """An operator of a third party that fails."""

    def __init__(self, how):
        super().__init__(noise=0.1)
        self.how = how

    def A(self, x):
        return self.how(x)


def fail(error):
    def how(x):
        raise error

    return how


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (fail(KeyError("a\nkey")), "KeyError"),
        (lambda x: x + torch.ones(9, 9), "size of tensor"),
        (lambda x: x[..., 99], "IndexError"),
        (lambda x: None, "returns a NoneType"),
        (lambda x: x.expand(5, -1, -1, -1), "returns a tensor"),
    ],
)
def test_what_an_operator_raises_is_one_line_with_its_name(how, words):
    y = torch.rand(1, 1, 8, 7)
    for act in (lambda: Failing(how)(y), lambda: rgmkit.restore(y, Failing(how), "tv")):
        with pytest.raises(IncompatibleError, match=words) as raised:
            act()
        assert "Failing" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("out of memory")])
def test_out_of_memory_stays_what_it_is(error):
    with pytest.raises(type(error)):
        Failing(fail(error))(torch.rand(1, 1, 8, 7))


@pytest.mark.parametrize("spec", ["deepinv.Tomography:width=16", "deepinv.MRI:shape=[16,16]"])
def test_operators_of_another_size_are_refused_on_the_command_line(run, tmp_path, spec):
    write(tmp_path / "a.png", torch.zeros(1, 24, 20))
    done = run("degrade", str(tmp_path / "a.png"), "-d", spec, "-o", str(tmp_path / "y.npy"))
    assert done.code == 2 and "cannot measure an image of shape (1, 24, 20)" in done.err
    assert done.err.count("\n") == 1 and not (tmp_path / "y.npy").exists()


def test_a_vector_is_restored_from_the_file_that_degrade_wrote(run, tmp_path):
    write(tmp_path / "a.png", torch.rand(1, 8, 8))
    spec = ("-d", "deepinv.CompressedSensing:shape=[1,8,8],measurements=40,noise=0.01")
    assert run("degrade", tmp_path / "a.png", *spec, "-o", tmp_path / "y.npy").code == 0
    done = run("restore", tmp_path / "y.npy", *spec, "--range", "0,1", "--prior", "tv", "-o", tmp_path / "x.tif")
    assert done.code == 0 and read(tmp_path / "x.tif").x.shape == (1, 1, 8, 8), done.err


@POSIX
def test_what_a_killed_process_left_is_removed_by_the_next(run, tmp_path):
    write(tmp_path / "a.png", torch.zeros(1, 8, 8))
    gone = 2**22 + 1  # above the largest number of a process
    ours, other = f".y.npy.0a1b-{_machine()}.{os.getpid()}.part", f".y.npy.0a1b-00000000.{gone}.part"
    left = [ours, other, f".z.npy.0a1b-{_machine()}.{gone}.part", f".y.npy.0a1b-{_machine()}.x.part"]
    for name in [*left, f".y.npy.0a1b-{_machine()}.{gone}.part"]:
        (tmp_path / name).touch()
    assert run("degrade", tmp_path / "a.png", "-d", "blur", "-o", tmp_path / "y.npy").code == 0
    assert sorted(file.name for file in tmp_path.glob(".*")) == sorted(left)


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 10**30])
def test_seeds_beyond_64_bits_are_refused(run, tmp_path, seed):
    write(tmp_path / "a.png", torch.zeros(1, 8, 8))
    for command in (
        ["degrade", tmp_path / "a.png", "-d", "gaussian-noise:noise=0.1", "-o", tmp_path / "y.npy"],
        ["restore", tmp_path / "a.png", "-d", "gaussian-noise:noise=0.1", "--prior", "tv", "-o", tmp_path / "y.npy"],
        ["generate", "digits", "-n", "1", "-o", tmp_path / "y.png"],
    ):
        done = run(*command, "--seed", seed)
        assert done.code == 2 and done.err.count("\n") == 1 and not list(tmp_path.glob("y.*")), done.err
    with pytest.raises(ConfigError, match="seed is"):
        rgmkit.generate("digits", 1, seed=seed)


@pytest.mark.parametrize("change", ["training.lr=-1", "training.batch=.nan", "nothing=1", "network.width=x"])
def test_a_preset_is_not_written_with_what_cannot_be_trained(run, tmp_path, change):
    command = ("train", "--preset", "small", "--data", "digits", "--write", tmp_path / "a.yaml", "--set")
    done = run(*command, change)
    assert done.code == 2 and done.err.count("\n") == 1 and not (tmp_path / "a.yaml").exists()
    assert run(*command, "training.lr=0.1").code == 0 and (tmp_path / "a.yaml").exists()


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800", "x/" * 3000])
def test_names_that_no_file_can_have_are_refused_where_a_file_may_be_named(name, tmp_path):
    y = torch.zeros(1, 1, 8, 8)
    for act in (
        lambda: rgmkit.load(name),
        lambda: rgmkit.restore(y, "gaussian-noise:noise=0.1", name),
        lambda: rgmkit.restore(y, f"blur:kernel='{name}'", "tv"),
        lambda: rgmkit.restore(y, f"inpaint:mask='{name}'", "tv"),
        lambda: rgmkit.train({"data": {"use": "folder", "path": name, "size": 8}, "network": "mlp"}, progress=False),
        lambda: rgmkit.train({"data": "gmm", "network": "mlp"}, out=tmp_path / name, progress=False),
        lambda: run_grid(
            {"data": {"path": name}, "degradation": "blur", "method": {"prior": "tv"}}, out=tmp_path / "out"
        ),
        lambda: run_grid(
            {"data": {"skimage": "camera"}, "degradation": "blur", "method": {"prior": "tv"}}, out=tmp_path / name
        ),
    ):
        with pytest.raises(RgmkitError) as raised:
            act()
        assert "\n" not in str(raised.value)
