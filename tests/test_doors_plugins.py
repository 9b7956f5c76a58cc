"""Hostile plugins: all else works, a plugin that fails says why in one line, and nothing controls the terminal."""

from __future__ import annotations

import json
import signal
import traceback

import numpy as np
import pytest
import torch
from conftest import plugin_source
from test_plugins import BUILT_IN, fresh

import rgmkit
from rgmkit import plugins
from rgmkit.errors import PluginError, RgmkitError, escape_controls
from rgmkit.models import catalogue
from rgmkit.plugins import registry as registries
from rgmkit.plugins.registry import find_culprit, load_target
from rgmkit.runtime.foreign_code import contain

RAISED = {
    "interrupt": "raise KeyboardInterrupt",
    "generator": "raise GeneratorExit",
    "exit": "raise SystemExit(0)",
    "cancelled": "import asyncio; raise asyncio.CancelledError",
    "group": "raise BaseExceptionGroup('several', [KeyboardInterrupt(), ValueError()])",
    "skip": "import pytest; pytest.skip('later', allow_module_level=True)",
    "base": "raise type('\\x1b[31mRed', (BaseException,), {})('\\ud800')",
    "mute": "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()",
    "exits": "import sys; raise type('Exits', (Exception,), {'__str__': lambda self: sys.exit(0)})()",
    "stop": "raise StopIteration",
}

OPERATOR = """
import rgmkit

class Rain(rgmkit.Degradation):
    def __init__(self, *, std: float = 1.0):
        super().__init__(noise=0.1)
        {constructor}

    def A(self, x):
        {operator}
        return x

    def adjoint(self, y):
        return y

@rgmkit.hookimpl
def rgmkit_components():
    {hook}
    return [rgmkit.Component("degradation", "rain", Rain, "Streaks")]
{module}
"""


def source(**places):
    return OPERATOR.format(**{"constructor": "", "operator": "", "hook": "", "module": "", **places})


@pytest.fixture
def install(distribution, monkeypatch):
    """Install plugins for the functions and commands of this process, too."""

    def make(name, text, **options):
        distribution(name, text, **options)
        monkeypatch.setattr(registries, "_installed", None)
        return plugins.list_failures()

    return make


def check_line(text, *words):
    assert all(word in text for word in words) and text == escape_controls(text) and "\n" not in text, text


@pytest.mark.parametrize("place", ["module", "hook"])
@pytest.mark.parametrize("what", RAISED)
def test_a_plugin_that_cannot_be_loaded_leaves_the_others_alone(install, what, place):
    (failure,) = install("acme-rain", source(**{place: RAISED[what]}))
    check_line(str(failure), "acme-rain", failure.reason)
    assert failure.reason and rgmkit.degradation(BUILT_IN).noise == 0.1
    with pytest.raises(PluginError, match="it may belong to a plugin that failed") as raised:
        rgmkit.degradation("rain")
    check_line(str(raised.value), "acme-rain")


@pytest.mark.parametrize("place", ["constructor", "operator"])
@pytest.mark.parametrize("what", RAISED)
def test_a_component_that_fails_is_one_line(install, run, tmp_path, what, place):
    assert install("acme-rain", source(**{place: RAISED[what]})) == []
    with pytest.raises(RgmkitError) as raised:
        rgmkit.restore(np.ones((8, 8)), "rain", "tv")
    check_line(str(raised.value))
    np.save(tmp_path / "y.npy", np.ones((8, 8)))
    done = run("restore", tmp_path / "y.npy", "-d", "rain", "--prior", "tv", "-o", tmp_path / "x.npy")
    assert done.code == 2 and done.err.startswith("error: ") and not (tmp_path / "x.npy").exists()
    check_line(done.err.removesuffix("\n"))


@pytest.mark.parametrize("what", RAISED)
def test_a_target_that_cannot_be_imported_says_so(install, what):
    install("acme-rain", plugin_source("rain", target="rain_target:Rain"))
    install("acme-target", RAISED[what], module="rain_target")
    with pytest.raises(PluginError, match="cannot be imported from 'rain_target:Rain'") as raised:
        rgmkit.degradation("rain")
    check_line(str(raised.value), "acme-rain")


def test_ctrl_c_while_a_plugin_runs_is_the_users():
    with pytest.raises(KeyboardInterrupt), contain():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(PluginError, match="KeyboardInterrupt"), contain():
        raise KeyboardInterrupt


ODD = {
    "abstract": "class Rain(rgmkit.Degradation):\n    pass",
    "positional": "class Rain(rgmkit.Degradation):\n    def __init__(self, std, /): super().__init__()",
    "annotation": "class Rain(rgmkit.Degradation):\n    def __init__(self, *, std: [1, {}] = 1.0): super().__init__()",
    "annotated": (
        "import typing\nclass Rain(rgmkit.Degradation):\n"
        "    def __init__(self, *, std: typing.Annotated[float, []] = 1.0): 1 / 0"
    ),
    "literal": (
        "import typing\nclass Rain(rgmkit.Degradation):\n"
        "    def __init__(self, *, std: typing.Literal[1.5, [2]] = 1.5): 1 / 0"
    ),
    "default": (
        "class Bad:\n    def __repr__(self): raise SystemExit(0)\n"
        "    __str__ = __eq__ = __hash__ = __bool__ = __repr__\n"
        "class Rain(rgmkit.Degradation):\n    def __init__(self, *, std: float = Bad()): super().__init__(); 1 / 0"
    ),
    "unhashable": (
        "class Meta(type(rgmkit.Degradation)):\n    def __eq__(self, other): raise GeneratorExit\n"
        "class Rain(rgmkit.Degradation, metaclass=Meta):\n    pass"
    ),
    "signature": "class Rain(rgmkit.Degradation):\n    __signature__ = 3\n    def __init__(self): 1 / 0",
    "docstring": "class Rain(rgmkit.Degradation):\n    __doc__ = '\\x1b]0\\x07 \\ud800'\n    def __init__(self): 1 / 0",
    "name": "Rain = type('Rain', (rgmkit.Degradation,), {'__module__': '\\x1b[31m', '__qualname__': '\\ud800'})",
    "subclass": (
        "class Meta(type(rgmkit.Degradation)):\n    def mro(cls): return super().mro()\n"
        "    def __getattribute__(cls, name): raise KeyboardInterrupt\n"
        "class Rain(rgmkit.Degradation, metaclass=Meta):\n    pass"
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_classes_are_listed_described_and_refused_in_one_line(install, run, what):
    hook = "\n@rgmkit.hookimpl\ndef rgmkit_components():\n"
    component = '    return [rgmkit.Component("degradation", "rain", Rain, "Streaks")]\n'
    install("acme-rain", f"import rgmkit\n{ODD[what]}\n{hook}{component}")
    with pytest.raises(RgmkitError) as raised:
        rgmkit.restore(np.ones((8, 8)), "rain:std=1", "tv")
    check_line(str(raised.value))
    for command in (["list"], ["list", "--json"], ["show", BUILT_IN], ["show", "rain"], ["show", "rain", "--json"]):
        done = run("plugins", *command)
        assert done.code == 0 or "rain" in command, done.err
        for text in (done.out, done.err):
            assert "\x1b" not in text and "Traceback" not in text
    assert rgmkit.degradation(BUILT_IN).noise == 0.1


def test_a_plugin_object_that_cannot_be_compared_harms_no_other(distribution):
    evil = "class Evil:\n    def __eq__(self, other): raise KeyboardInterrupt\n    __hash__ = __eq__\n"
    distribution("aaa-evil", f"import sys\n{evil}sys.modules[__name__] = Evil()\n")
    distribution("acme-rain", plugin_source("rain"))
    registry = fresh()
    assert registry.lookup("degradation", "rain").distribution == "acme-rain"
    assert [failure.distribution for failure in registry.failures] == ["aaa-evil"]


def test_what_a_plugin_prints_is_no_result(install, run):
    install("acme-rain", "print('hello')\n" + plugin_source("rain", target="rain_target:Rain"))
    install("acme-target", "print('hello')\nfrom rgmkit_noise.noise import GaussianNoise as Rain", module="rain_target")
    for command in (["list", "--json"], ["show", "rain", "--json"]):
        json.loads(run("plugins", *command).out)


def test_nothing_of_a_plugin_controls_the_terminal(install, run):
    red = "\\x1b[31m\\ud800\\x9b\\r"
    text = plugin_source("rain").replace("A test", red)
    install("acme-rain", text, version="1.0")
    failures = install("acme-bad", f"raise RuntimeError('{red}')")
    assert len(failures) == 1
    for command in (["list"], ["list", "--json"], ["show", "rain"]):
        done = run("plugins", *command)
        assert done.code == 0 and "\\x1b" in done.out + done.err
        assert "\x1b" not in done.out + done.err and "\r" not in done.out + done.err
    assert "\\ud800" in catalogue.describe("rain")


@pytest.mark.parametrize("entries", ["evil = acme_evil", "core = acme_evil"])
def test_a_distribution_that_is_called_rgmkit_replaces_nothing(distribution, entries, tmp_path):
    healthy = fresh().list_components()
    distribution("rgmkit", plugin_source("blur"), version="9.0", module="acme_evil")
    (tmp_path / "site" / "acme_evil-9.0.dist-info").rename(tmp_path / "site" / "rgmkit-9.0.dist-info")
    (tmp_path / "site" / "rgmkit-9.0.dist-info" / "entry_points.txt").write_text(f"[rgmkit]\n{entries}\n")
    registry = fresh()
    assert load_target(registry.lookup("degradation", "blur")).__module__.startswith("rgmkit_blur")
    assert registry.list_components() == healthy
    (failure,) = registry.failures
    assert "another distribution is named rgmkit" in str(failure)


def test_an_error_of_a_plugin_in_mid_work_is_one_line_that_names_it(install, run, tmp_path):
    install("acme-rain", source().replace("return y\n", "raise {'a': 1}['b']\n", 1))
    np.save(tmp_path / "y.npy", np.ones((8, 8)))
    command = ["restore", tmp_path / "y.npy", "-d", "rain", "--prior", "tv", "-o", tmp_path / "x.npy"]
    done = run(*command)
    assert done.code == 2 and done.err.count("\n") == 1
    check_line(done.err.removesuffix("\n"), "KeyError: 'b': raised by the plugin rain of acme-rain (")
    assert "Traceback" in run(*command, "--debug").err


def test_a_plugin_that_offers_classes_of_others_is_not_blamed_for_them(install):
    install("acme-rain", plugin_source("rain", kind="network", target="torch.nn:Identity"))
    try:
        torch.zeros(3).reshape(2)
    except RuntimeError as error:
        assert find_culprit(error) is None
    try:
        torch.nn.Linear(2, 2)(torch.zeros(3))
    except RuntimeError as error:
        assert "torch" in str(traceback.extract_tb(error.__traceback__)) and find_culprit(error) is None
