"""What the machine gives: files that are whole, locks, devices."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
from pathlib import Path

import psutil
import pytest
import torch

from rgmkit.errors import ConfigError, DataError
from rgmkit.runtime import device as runtime
from rgmkit.runtime.files import write_aside
from rgmkit.runtime.lock import lock_folder
from rgmkit.runtime.memory import peak_memory

ROOT = Path(__file__).parents[1]


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


NAMES = re.compile(r"(?<![A-Za-z])(cuda|mps|xpu)(?![A-Za-z])", re.IGNORECASE)


def test_one_file_names_the_accelerators():
    files = [file for room in ("rgmkit", "plugins") for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 100
    naming = {file.relative_to(ROOT).as_posix() for file in files if NAMES.search(file.read_text(encoding="utf-8"))}
    assert naming == {"rgmkit/runtime/device.py"}


class Accelerator:
    """What PyTorch's module of an accelerator gives, and what was called of it."""

    def __init__(self):
        self.called = []

    def mem_get_info(self, device):
        return 5, 8

    def max_memory_allocated(self, device):
        return 3 * 2**20

    def is_bf16_supported(self, including_emulation=True):
        return including_emulation

    def __getattr__(self, name):
        return lambda *given: self.called.append((name, *given))


def test_an_accelerator_is_used_through_its_module(monkeypatch):
    accelerator, device = Accelerator(), torch.device("xpu")
    monkeypatch.setattr(torch, "xpu", accelerator)
    assert runtime.free_memory(device) == 5 and not runtime.supports_bf16(device)
    with peak_memory(device) as peak:
        pass
    assert peak.mib == 3
    runtime.synchronize(device)
    runtime.empty_cache(device)
    runtime.seed_global_generators(7, device)
    assert accelerator.called == [
        ("reset_peak_memory_stats", device), ("synchronize", device), ("empty_cache",), ("manual_seed", 7)
    ]  # fmt: skip
    assert torch.initial_seed() == 7


def test_a_device_that_lacks_these_functions_is_treated_as_a_cpu(monkeypatch):
    monkeypatch.setattr(torch, "xpu", object())
    for device in (torch.device("cpu"), torch.device("xpu")):
        runtime.synchronize(device)
        runtime.empty_cache(device)
        runtime.seed_global_generators(7, device)
        assert runtime.supports_bf16(device) and not runtime.measures_peak(device)
        assert 0 < runtime.free_memory(device) <= psutil.virtual_memory().total


def test_the_accelerator_of_the_machine_is_the_default(monkeypatch):
    for found, expected in ((None, "cpu"), (torch.device("mps"), "mps")):
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available, found=found: found)
        assert runtime.choose_device(None).type == expected
    assert runtime.choose_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="'abacus', which is not available here: try 'cpu'"):
        runtime.choose_device("abacus")
