from __future__ import annotations

import inspect
import logging
import sys
from pathlib import Path

import pytest
from conftest import plugin_source

import rgmkit
from rgmkit.errors import PluginError
from rgmkit.plugins import KINDS, hookspec, load_class
from rgmkit.plugins.builtin import rgmkit_components
from rgmkit.plugins.registry import Registry, _entry_points, load_target
from rgmkit.plugins.synonyms import SYNONYMS, find_meant

DOCS = Path(__file__).parents[1] / "docs"
BUILT_IN = "gaussian-noise"


def fresh() -> Registry:
    """The registry that a new process would have."""
    registry = Registry()
    registry.load(_entry_points(registry))
    return registry


def test_installed_package_is_found_by_name(distribution):
    distribution("acme-rain", plugin_source("rain"), version="2.3")
    registry = fresh()
    rain = registry.lookup("degradation", "rain")
    assert (rain.distribution, rain.version) == ("acme-rain", "2.3")
    assert registry.address(rain) == "rain"
    assert rain in registry.list_components("degradation")
    assert load_target(rain).__name__ == "GaussianNoise"


def test_only_the_loader_names_distribution_and_version():
    with pytest.raises(TypeError):
        rgmkit.Component("degradation", "rain", "rgmkit_rain:Rain", "Streaks of rain", "acme")


def test_every_component_of_rgmkit_itself_is_there():
    assert all(isinstance(component.summary, str) for component in rgmkit_components())
    assert len({load_target(component) for component in rgmkit_components()}) == len(rgmkit_components())


def test_plugins_of_rgmkit_that_are_not_registered_are_missed():
    registry = Registry()
    registry.load([])
    (failure,) = registry.failures
    assert failure.distribution == "rgmkit" and "rgmkit's own plugins are not registered" in failure.reason


def test_nothing_fails_and_nothing_clashes_by_default():
    registry = fresh()
    assert [str(failure) for failure in registry.failures] == []
    assert registry.clashes == []


BROKEN = {
    "import": ("import no_such_module", "import", "ModuleNotFoundError: No module named 'no_such_module'"),
    "exit": ("import sys; sys.exit('not today')", "import", "SystemExit: not today"),
    "misspelt": (
        "import rgmkit\n@rgmkit.hookimpl\ndef rgmkit_componets(): return []",
        "the check of its hooks",
        "unknown hook 'rgmkit_componets': the hook is named 'rgmkit_components'",
    ),
    "undecorated": ("def rgmkit_components(): return []", "the check of its hooks", "@rgmkit.hookimpl"),
    "arguments": (
        "import rgmkit\n@rgmkit.hookimpl\ndef rgmkit_components(config): return []",
        "registration",
        "PluginValidationError",
    ),
    "raises": (
        "import rgmkit\n@rgmkit.hookimpl\ndef rgmkit_components():\n    raise RuntimeError('two\\nlines')",
        "the call of its hook",
        "RuntimeError: two lines",
    ),
    "exits-in-hook": (
        "import rgmkit, sys\n@rgmkit.hookimpl\ndef rgmkit_components(): sys.exit(3)",
        "the call of its hook",
        "SystemExit: 3",
    ),
    "none": ("import rgmkit\n@rgmkit.hookimpl\ndef rgmkit_components(): pass", "the call of its hook", "returned None"),
    "no-list": (
        "import rgmkit\n@rgmkit.hookimpl\ndef rgmkit_components(): return 'rain'",
        "the call of its hook",
        "a list",
    ),
    "no-component": (
        "import rgmkit\n@rgmkit.hookimpl\ndef rgmkit_components(): return ['rain']",
        "the call of its hook",
        "put rgmkit.Component there",
    ),
    "kind": (plugin_source("rain", kind="weather"), "the call of its hook", "unknown kind 'weather'"),
    "target": (plugin_source("rain", target="rgmkit_rain.Rain"), "the call of its hook", "'package.module:Class'"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_plugin_is_left_out_and_says_why(how, distribution, caplog):
    source, stage, cause = BROKEN[how]
    healthy = fresh().list_components()
    distribution(f"broken-{how}", source)
    with caplog.at_level(logging.WARNING):
        registry = fresh()
    assert registry.list_components() == healthy
    assert registry.lookup("degradation", BUILT_IN).distribution == "rgmkit"
    (failure,) = registry.failures
    assert (failure.distribution, failure.stage) == (f"broken-{how}", stage)
    (record,) = caplog.records
    assert cause in record.message and "\n" not in record.message
    with pytest.raises(PluginError, match="no degradation is named 'rain'") as raised:
        registry.lookup("degradation", "rain")
    assert cause in str(raised.value) and f"broken-{how}" in str(raised.value)


def test_built_in_keeps_a_name_that_another_claims(distribution, caplog):
    distribution("acme-noise", plugin_source(BUILT_IN))
    with caplog.at_level(logging.WARNING):
        registry = fresh()
    assert registry.lookup("degradation", BUILT_IN).distribution == "rgmkit"
    other = registry.lookup("degradation", f"{BUILT_IN}@acme-noise")
    assert other.distribution == "acme-noise"
    assert registry.address(other) == f"{BUILT_IN}@acme-noise"
    assert registry.failures == [] and len(caplog.records) == len(registry.clashes) == 1


def test_name_given_by_two_others_needs_the_distribution(distribution):
    distribution("acme-rain", plugin_source("rain"))
    distribution("Zeta.Rain", plugin_source("rain"), module="zeta_rain")
    registry = fresh()
    with pytest.raises(PluginError, match=r"write rain@acme-rain or rain@Zeta\.Rain"):
        registry.lookup("degradation", "rain")
    assert registry.lookup("degradation", "rain@zeta-rain").distribution == "Zeta.Rain"
    with pytest.raises(PluginError, match="no degradation is named 'rain@other'"):
        registry.lookup("degradation", "rain@other")


def test_malformed_entry_points_harm_nobody_else(distribution, tmp_path, caplog):
    distribution("acme-rain", plugin_source("rain"))
    distribution("acme-torn", "")
    (tmp_path / "site" / "acme_torn-1.0.dist-info" / "entry_points.txt").write_text("[rgmkit]\ntorn\n")
    with caplog.at_level(logging.WARNING):
        registry = fresh()
    assert registry.lookup("degradation", "rain").distribution == "acme-rain"
    (failure,) = registry.failures
    assert failure.distribution == "acme-torn" and len(caplog.records) == 1


@pytest.mark.parametrize("names", ["acme_rain", "rain", "other, ACME-RAIN", "all"])
def test_disabled_plugin_is_not_even_imported(names, distribution, monkeypatch):
    module = distribution("acme-rain", "raise AssertionError")
    monkeypatch.setenv("RGMKIT_PLUGINS_DISABLE", names)
    registry = fresh()
    assert registry.failures == [] and module not in sys.modules
    assert registry.lookup("degradation", BUILT_IN).distribution == "rgmkit"
    with pytest.raises(PluginError, match="RGMKIT_PLUGINS_DISABLE disables rain of acme-rain"):
        registry.lookup("degradation", "rain")


OPS = """
import rgmkit

class Half(rgmkit.Degradation):
    def A(self, x):
        return x / 2

@rgmkit.hookimpl
def rgmkit_components():
    return [rgmkit.Component("degradation", "half", Half, "Half as bright")]
"""


def test_local_file_gives_classes(tmp_path):
    (tmp_path / "ops.py").write_text(OPS)
    registry = fresh()
    with pytest.raises(PluginError):
        registry.lookup("degradation", "half")
    registry.add_file(tmp_path / "ops.py")
    registry.add_file(tmp_path / "ops.py")
    half = registry.lookup("degradation", "half")
    assert (half.distribution, registry.address(half), registry.clashes) == ("ops.py", "half", [])
    cls = load_target(half)
    assert sys.modules[cls.__module__].Half is cls
    assert str(tmp_path) not in sys.path


def test_local_file_that_fails_raises_at_once(tmp_path):
    registry = fresh()
    with pytest.raises(PluginError, match="give the path of a Python file"):
        registry.add_file(tmp_path / "missing.py")
    (tmp_path / "bad.py").write_text("1 / 0")
    before = set(sys.modules)
    with pytest.raises(PluginError, match=r"bad\.py failed at import: ZeroDivisionError"):
        registry.add_file(tmp_path / "bad.py")
    assert set(sys.modules) == before
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(PluginError, match="not a Python file"):
        registry.add_file(tmp_path / "text.txt")


def test_target_is_checked_when_it_is_used(distribution):
    distribution("acme-lost", plugin_source("lost", target="acme_no_such:Rain"))
    distribution("acme-other", plugin_source("other", target="pathlib:Path"))
    registry = fresh()
    with pytest.raises(
        PluginError, match=r"'lost' of acme-lost 1\.0 cannot be imported .* No module named 'acme_no_such'"
    ):
        load_target(registry.lookup("degradation", "lost"))
    with pytest.raises(PluginError, match="is not a subclass of Degradation"):
        load_target(registry.lookup("degradation", "other"))


def test_unknown_names_get_the_nearest():
    registry = fresh()
    with pytest.raises(PluginError, match="nearest is 'gaussian-noise'"):
        registry.lookup("degradation", "gausian-noise")
    with pytest.raises(PluginError, match="'cascade' is a solver"):
        registry.lookup("degradation", "cascade")
    with pytest.raises(PluginError, match="no kind of component is named 'weather'"):
        registry.lookup("weather", "rain")


def test_other_words_mean_components_that_exist():
    known = {component.name for component in fresh().list_components()}
    assert SYNONYMS.keys() <= known
    assert all(find_meant(word, [name]) == name for name, words in SYNONYMS.items() for word in words.split())


@pytest.mark.parametrize("component", fresh().list_components(), ids=lambda c: f"{c.kind}-{c.name}")
def test_built_in_constructors_are_schemas(component):
    cls = load_class(component.kind, component.name)
    assert component.summary and inspect.getdoc(cls)
    for parameter in list(inspect.signature(cls).parameters.values()):
        assert parameter.kind is parameter.KEYWORD_ONLY, f"{cls.__name__}: {parameter} is not keyword-only"
        assert parameter.annotation is not parameter.empty, f"{cls.__name__}: {parameter} has no type"


def test_every_hook_and_kind_is_documented():
    text = (DOCS / "plugins.md").read_text()
    hooks = {name: hook for name, hook in vars(hookspec).items() if name.startswith("rgmkit_")}
    assert hooks
    for name, hook in hooks.items():
        assert f"def {name}{inspect.signature(hook)}:".replace("'", "") in text
    for kind in KINDS:
        assert f"`{kind}`" in text, kind


def test_files_of_the_same_name_in_two_folders(tmp_path):
    registry = fresh()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ops.py").write_text(plugin_source(name))
        registry.add_file(tmp_path / name / "ops.py")
    assert registry.lookup("degradation", "one").distribution == registry.lookup("degradation", "two").distribution
