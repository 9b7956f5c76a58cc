"""`rgmkit plugins new`: what it writes works, installed by pip and with the commands of the documentation."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from rgmkit.cli.new_plugin.main import KINDS, write_package
from rgmkit.cli.plugins import NEW_KINDS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
(BLOCK,) = re.findall(r"```\n(rgmkit plugins new .*?)```", PAGE, re.DOTALL)
RUN = """
import contextlib, io, json, os, runpy, shlex, sys, traceback
from functools import partial
import pytest
from rgmkit.cli import main
from rgmkit.training import finish
finish.evaluate_chains = partial(finish.evaluate_chains, n=50)  # as for all tests

def run(command):
    program, *arguments = shlex.split(command)
    if program == "cd":
        os.chdir(*arguments)
    elif program == "pytest":
        assert pytest.main(["-q", "-p", "no:cacheprovider", *arguments]) == 0
    elif program == "python":
        runpy.run_path(*arguments)
    else:
        assert program == "rgmkit"
        try:
            main(arguments)
        except SystemExit as exited:
            assert exited.code == 0, command

shown, home = {}, os.getcwd()
for kind, commands in json.load(open("commands.json")).items():
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.redirect_stderr(text):
        try:
            for command in commands:
                print("$", command)
                run(command)
        except BaseException:
            traceback.print_exc()
    shown[kind] = text.getvalue()
    os.chdir(home)
json.dump(shown, open("shown.json", "w"))
"""


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def installed(monkeypatch):
    """Make packages visible to this process, as an installer does."""
    before = set(sys.modules)

    def install(folder: Path) -> None:
        source = folder / "src"
        (package,) = [path.name for path in source.iterdir() if path.is_dir()]
        name = re.search(r'^name = "(.*)"', (folder / "pyproject.toml").read_text(), re.MULTILINE)[1]
        entry = re.search(
            r"^\[project.entry-points.rgmkit\]\n(.*)", (folder / "pyproject.toml").read_text(), re.MULTILINE
        )
        info = source / f"{package}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[rgmkit]\n{entry[1].replace(chr(34), '')}\n")
        monkeypatch.syspath_prepend(source)
        monkeypatch.setattr("rgmkit.plugins.registry._installed", None)  # look again

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("rgmkit_my"):
            del sys.modules[name]


def test_every_kind_is_offered_and_documented():
    assert set(NEW_KINDS) == set(KINDS)
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE.partition("## The hook")[0], re.MULTILINE)) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_passes_the_checks(kind, installed, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("plugins", "new", f"my-{kind}", "--kind", kind)
    folder = tmp_path / f"rgmkit-my-{kind}"
    assert ran.code == 0
    installed(folder)
    ran = run("plugins", "check", f"my-{kind}")
    assert ran.code == 0 and "passed" in ran.out and ran.err == ""
    assert f"of rgmkit-my-{kind} 0.1.0" in ran.out
    tests = runpy.run_path(str(folder / "tests" / f"test_my_{kind}.py"))
    tests["test_it_is_found_by_name"]()
    assert len(tests[f"test_my_{kind}"].pytestmark[0].args[1]) >= 6


def test_light_package_imports_nothing_heavy(tmp_path, run, installed):
    run("plugins", "new", "my-rain", "--kind", "degradation", "-o", tmp_path / "rain")
    code = "import sys, rgmkit_my_rain; rgmkit_my_rain.rgmkit_components(); assert 'torch' not in sys.modules"
    path = os.pathsep.join([str(tmp_path / "rain" / "src"), *sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


def test_nothing_is_overwritten_unless_asked(tmp_path, run):
    folder = tmp_path / "rain"
    (folder / "tests").mkdir(parents=True)
    (folder / "tests" / "test_my_rain.py").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    ran = run("plugins", "new", "my-rain", "--kind", "prior", "-o", folder)
    assert ran.code == 2 and "test_my_rain.py exists" in ran.err and "--overwrite" in ran.err
    assert files(folder) == {"tests/test_my_rain.py": "mine", "notes.txt": "mine"}
    assert run("plugins", "new", "my-rain", "--kind", "prior", "-o", folder, "--overwrite").code == 0
    written = files(folder)
    assert written["notes.txt"] == "mine" and "conformance" in written["tests/test_my_rain.py"]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("blur", "degradation", "degradation 'blur' exists already, in rgmkit"),
        ("blur", "metric", "a package rgmkit_blur is installed already"),
        ("Rain", "prior", "use lower-case letters"),
        ("rain.fall", "prior", "use lower-case letters"),
        ("../rain", "prior", "use lower-case letters"),
        ("lambda", "prior", "a keyword of Python"),
        ("none", "prior", "a keyword of Python"),
        ("rgmkit-rain", "prior", "leave out rgmkit"),
    ],
)
def test_names_that_cannot_be_used(name, kind, words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("plugins", "new", name, "--kind", kind)
    assert ran.code == 2 and words in ran.err and not any(tmp_path.iterdir())


def test_it_can_be_written_again_where_it_is_installed(tmp_path, run, installed):
    arguments = ("plugins", "new", "my-rain", "--kind", "degradation", "-o", tmp_path / "rain")
    assert run(*arguments).code == 0
    installed(tmp_path / "rain")
    assert run(*arguments, "--overwrite").code == 0
    assert "is installed already" in run(*arguments[:-1], tmp_path / "other").err


def commands_of(kind: str) -> list[str]:
    """The commands of the page, for a package of another kind."""
    commands = BLOCK.replace("--kind degradation", f"--kind {kind}").replace("vignette", f"my-{kind}").splitlines()
    return [command for command in commands if KINDS[kind].toy or "train" not in command]


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> dict[str, str]:
    """What the commands of each kind print, in a virtual environment in which pip has installed the new packages."""
    if not (importlib.util.find_spec("pip") and importlib.util.find_spec("hatchling")):
        pytest.skip("pip or hatchling is missing")
    folder = tmp_path_factory.mktemp("new")
    venv.create(folder / "env", symlinks=os.name != "nt")
    python = folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder / "env"), "platbase": str(folder / "env")}))
    parents = [path for path in sys.path if path]
    (site / "parents.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in parents))
    for kind in KINDS:
        write_package(f"my-{kind}", kind, folder / f"rgmkit-my-{kind}")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    made = [argument for kind in KINDS for argument in ("-e", str(folder / f"rgmkit-my-{kind}"))]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "-q", *offline, *made], check=True)
    rest = {kind: [commands_of(kind)[1], *commands_of(kind)[3:]] for kind in KINDS}
    (folder / "commands.json").write_text(json.dumps(rest))
    subprocess.run([python, "-c", RUN], cwd=folder, check=True)
    return json.loads((folder / "shown.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_of_the_page_are_those_that_are_printed(kind, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    commands = commands_of(kind)
    assert len(commands) <= 10
    assert run(*shlex.split(commands[0])[1:]).out.splitlines() == commands[1:]
    assert commands[2] == 'pip install -e ".[dev]"'
    readme = (tmp_path / f"rgmkit-my-{kind}" / "README.md").read_text("utf-8")
    assert "\n".join(commands[2:]) in readme


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_of_the_page_work(kind, shown):
    *_, last = shown[kind].partition("$ python example.py\n")
    assert last and "Traceback" not in shown[kind], shown[kind]
    if kind == "objective":
        assert "'modes': 8, 'of': 8" in last
        return
    before, *after = (float(value) for value in re.findall(r"(\d+\.\d+)$", last, re.MULTILINE))
    assert after
    assert max(after) < before if kind == "metric" else min(after) > before + 1
