"""Shared by the tests: the command line, distributions made of a few files, and quick evaluations of models."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from rgmkit.cli.app import main

if TYPE_CHECKING:
    from torch import Tensor

collect_ignore = ["version_0_1"]  # its tests are run by test_third_party.py, where its package is installed
if sys.platform != "linux":
    collect_ignore.append("fuzz")  # which limits memory and time as Linux does

PLUGIN = """
import rgmkit

@rgmkit.hookimpl
def rgmkit_components():
    return [rgmkit.Component({kind!r}, {name!r}, {target!r}, "A test")]
"""


def plugin_source(name: str, kind: str = "degradation", target: str = "rgmkit_noise.noise:GaussianNoise") -> str:
    """The source of a plugin that gives one component."""
    return PLUGIN.format(kind=kind, name=name, target=target)


def write_distribution(folder: Path, name: str, source: str, *, version: str = "1.0", module: str = "") -> str:
    """What an installer leaves of a distribution with one plugin module; returns the name of the module."""
    module = module or name.replace("-", "_")
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[rgmkit]\n{module.split('_')[-1]} = {module}\n")
    return module


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt as at a terminal; a shell starts what runs in the background without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def few_samples() -> Iterator[None]:
    """Evaluate the models of all trainings on a few samples only: no test is about the metrics on their cards."""
    from rgmkit.training import finish  # not by the process that only hands the tests out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "evaluate_chains", partial(finish.evaluate_chains, n=50))
        yield


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Make distributions that this process sees as installed."""
    before = set(sys.modules)
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def make(name: str, source: str, **options: str) -> str:
        return write_distribution(site, name, source, **options)

    yield make
    for module in set(sys.modules) - before:
        if str(site) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


@pytest.fixture(scope="session")
def fresh_processes() -> BaseContext:
    """Processes that share nothing with the tests but what a training imports, which is imported once for all."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    networks = ["rgmkit_gan.networks.unet", "rgmkit_gan.objectives", "sklearn.datasets"]
    context.set_forkserver_preload(["test_survival", "test_distributed", *networks])
    return context


@pytest.fixture(scope="session")
def photo() -> Tensor:
    """A grey photograph (1, 1, 64, 64)."""
    from pictures import CAMERA  # not by the process that only hands the tests out
    from torch.nn.functional import avg_pool2d

    return avg_pool2d(CAMERA, 8)


class Ran(NamedTuple):
    """What a command left: its exit code, and what it printed on stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """The command line, as a user types it: `run("generate", "digits", "-o", path)`."""

    def run(*args: object) -> Ran:
        with pytest.raises(SystemExit) as exited:
            main([str(arg) for arg in args])
        return Ran(exited.value.code, *capsys.readouterr())

    return run
