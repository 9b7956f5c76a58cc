from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import rgmkit
from rgmkit import plugins
from rgmkit.plugins import classes

CLASSES = {"degradations", "priors", "solvers"}  # modules of the classes of components
FUNCTIONS = ("degradation", "generate", "load", "metric", "prior", "process", "restore", "solver", "train")


@pytest.mark.parametrize("name", rgmkit.__all__)
def test_public_name_is_there_twice(name):
    first, second = getattr(rgmkit, name), getattr(rgmkit, name)
    assert first is second and name in dir(rgmkit)
    assert callable(first) or isinstance(first, str) or name in CLASSES


def test_named_components_can_be_made_twice():
    for _ in range(2):
        assert isinstance(rgmkit.degradation("gaussian-noise", noise=0.1), rgmkit.Degradation)
        assert isinstance(rgmkit.process("gaussian", levels=3), rgmkit.ForwardProcess)
        assert isinstance(rgmkit.prior("tv"), rgmkit.Prior)
        assert isinstance(rgmkit.metric("psnr"), rgmkit.Metric)
        assert isinstance(rgmkit.solver("cascade"), rgmkit.Solver)


def test_no_module_shadows_a_public_function():
    modules = {module.name for module in pkgutil.iter_modules(rgmkit.__path__)}
    assert modules & set(rgmkit.__all__) == CLASSES
    for module in modules - {"__main__"}:
        importlib.import_module(f"rgmkit.{module}")
    for name in FUNCTIONS:
        for _ in range(2):
            assert callable(getattr(rgmkit, name)), name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'restorations'"):
        _ = rgmkit.restorations


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


@pytest.mark.parametrize("kind", classes.STUBS)
def test_classes_of_components_are_attributes_that_the_stub_names(kind):
    module = getattr(rgmkit, f"{kind}s")
    listed = [c for c in plugins.list_components(kind) if c.distribution == "rgmkit"]
    names = {str(c.target).rpartition(":")[2] for c in listed}
    assert set(dir(module)) == set(module.__all__) == names
    for component in (c for c in listed if c.name != "deepinv.Tikhonov"):  # rgmkit.priors.Tikhonov is that of tikhonov
        found = plugins.load_class(kind, component.name)
        assert getattr(module, found.__name__) is found
    stub = Path(rgmkit.__file__).parent / classes.STUBS[kind]
    assert stub.read_text() == classes.write_stub(kind), "run python -m rgmkit.plugins.classes"
    with pytest.raises(AttributeError, match=f"module 'rgmkit.{kind}s' has no attribute 'None_such'"):
        _ = module.None_such
