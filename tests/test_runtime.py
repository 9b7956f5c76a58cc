"""What the machine gives: files that are whole, locks, devices."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from rgmkit.errors import ConfigError, DataError
from rgmkit.runtime.files import write_aside
from rgmkit.runtime.lock import lock_folder


@pytest.mark.parametrize(
    "number, remedy",
    [(errno.ENOSPC, "make room"), (errno.EACCES, "choose another place"), (errno.EROFS, "choose another place")],
)
@pytest.mark.parametrize("place", ["folder", "part"])
def test_a_file_that_cannot_be_written_is_named_in_words(tmp_path, monkeypatch, number, remedy, place):
    target = tmp_path / "new" / "a.txt"

    def refuse(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    if place == "folder":
        monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DataError) as error, write_aside(target) as part:
        refuse(part)
    assert str(error.value) == f"{target} cannot be written ({os.strerror(number)}): {remedy}"
    assert not target.exists() and not list(tmp_path.rglob("*.part"))


def test_a_failed_block_leaves_the_file_before_it(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("before")
    with pytest.raises(FileNotFoundError, match="other"), write_aside(target) as part:
        part.write_text("half")
        (tmp_path / "other").read_text()  # not the file that is written: the error stays
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


def hold(folder, held, done):
    with lock_folder(folder):
        held.set()
        done.wait()


def test_a_lock_names_its_owner_and_goes_with_it(tmp_path):
    context = multiprocessing.get_context("forkserver")
    held, done = context.Event(), context.Event()
    owner = context.Process(target=hold, args=(tmp_path / "run" / "checkpoints", held, done))
    owner.start()
    assert held.wait(60)
    with (
        pytest.raises(ConfigError, match=f"run is being trained by process {owner.pid}: wait"),
        lock_folder(tmp_path / "run" / "checkpoints"),
    ):
        raise AssertionError("the lock was free")
    owner.kill()
    owner.join()
    with lock_folder(tmp_path / "run" / "checkpoints"):
        assert (tmp_path / "run" / "checkpoints" / ".owner").read_text() == str(os.getpid())
