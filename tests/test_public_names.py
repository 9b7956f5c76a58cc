from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import rgmkit

FUNCTIONS = ("degradation", "generate", "load", "metric", "prior", "process", "restore", "solver", "train")


@pytest.mark.parametrize("name", rgmkit.__all__)
def test_public_name_is_there_twice(name):
    first, second = getattr(rgmkit, name), getattr(rgmkit, name)
    assert first is second and name in dir(rgmkit)
    assert callable(first) or isinstance(first, str)


def test_named_components_can_be_made_twice():
    for _ in range(2):
        assert isinstance(rgmkit.degradation("gaussian-noise", noise=0.1), rgmkit.Degradation)
        assert isinstance(rgmkit.process("gaussian", levels=3), rgmkit.ForwardProcess)
        assert isinstance(rgmkit.prior("tv"), rgmkit.Prior)
        assert isinstance(rgmkit.metric("psnr"), rgmkit.Metric)
        assert isinstance(rgmkit.solver("cascade"), rgmkit.Solver)


def test_no_module_shadows_a_public_function():
    modules = {module.name for module in pkgutil.iter_modules(rgmkit.__path__)}
    assert not modules & set(rgmkit.__all__)
    for module in modules - {"__main__"}:
        importlib.import_module(f"rgmkit.{module}")
    for name in FUNCTIONS:
        for _ in range(2):
            assert callable(getattr(rgmkit, name)), name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'degradations'"):
        _ = rgmkit.degradations


@pytest.mark.parametrize(
    "statement",
    [
        "import rgmkit; rgmkit.__version__, dir(rgmkit)",
        "import rgmkit; rgmkit.Component, rgmkit.hookimpl, rgmkit.ConfigError",
        "import rgmkit.plugins as p; p.list_components()",
        "from rgmkit.cli.app import cli; cli.main(['--help'], standalone_mode=False)",
        "from rgmkit.cli.app import cli; cli.main(['plugins'], standalone_mode=False)",
        "from rgmkit.cli.app import cli; cli.main(['plugins', 'list', '--json'], standalone_mode=False)",
    ],
)
def test_light_things_import_nothing_heavy(statement):
    check = "import sys; print('heavy:', {'torch', 'deepinv', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", f"{statement}\n{check}"], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("heavy: set()\n")


def test_old_names_of_the_plugin_machinery_warn():
    with pytest.warns(DeprecationWarning, match=r"plugins\.found is deprecated: use rgmkit\.plugins\.list_components"):
        assert rgmkit.plugins.found is rgmkit.plugins.list_components
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rgmkit.plugins.nothing
