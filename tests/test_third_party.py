"""A package that rgmkit knows nothing of, installed beside it: listed, used, and trained on by name.

It is tested as it is today, and as it was written for version 0.1, which is never changed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_distribution
from skimage import data

import rgmkit.testing

PACKAGES = {
    "today": Path(__file__).parents[1] / "examples" / "rgmkit_rain",
    "version 0.1": Path(__file__).parent / "version_0_1" / "rgmkit_rain",
}
COMMANDS = """
from functools import partial
from rgmkit.cli import main
from rgmkit.training import finish
finish.evaluate_chains = partial(finish.evaluate_chains, n=50)  # as for all tests
for command in COMMANDS:
    try:
        main(command.split())
    except SystemExit as exited:
        assert exited.code == 0, command
"""


@pytest.fixture(scope="module", params=PACKAGES)
def package(request) -> Path:
    return PACKAGES[request.param]


@pytest.fixture(scope="module")
def site(package, tmp_path_factory) -> Path:
    """A folder that the package is installed in: by pip, or, without the build backend, by hand."""
    folder = tmp_path_factory.mktemp("site")
    if importlib.util.find_spec("pip") and importlib.util.find_spec("hatchling"):
        source = shutil.copytree(package, tmp_path_factory.mktemp("source") / "rain")
        offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *offline, "-t", folder, source], check=True)
        return folder
    project = (package / "pyproject.toml").read_text()
    name, version = (re.search(rf'^{key} = "(.*)"', project, re.MULTILINE)[1] for key in ("name", "version"))
    write_distribution(folder, name, "", version=version)
    (folder / "rgmkit_rain.py").unlink()
    shutil.copytree(package / "rgmkit_rain", folder / "rgmkit_rain")
    return folder


def python(site: Path, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, env=environment, cwd=cwd)


def test_it_is_listed_with_its_distribution_and_version(site, tmp_path):
    ran = python(site, "-m", "rgmkit", "plugins", cwd=tmp_path)
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("  rain ")]
    assert line.endswith(" (rgmkit-rain 1.2.0)") and ran.stderr == ""


@pytest.mark.slow
def test_it_degrades_restores_and_trains_by_name(site, tmp_path):
    np.save(tmp_path / "truth.npy", data.camera()[::8, ::8][:40] / 255)
    (tmp_path / "rain.yaml").write_text(
        "data: digits\n"
        "network: {use: unet, width: 8, multipliers: [1, 2], blocks: 1, latent: 2}\n"
        "process: {use: severity, levels: 3, degradation: {use: rain, density: 0.1}}\n"
        "training: {steps: 2, batch: 4, preview_every: 0}\n"
    )
    commands = [
        "degrade truth.npy -d rain:density=0.1,noise=0.05 -o wet.npy",
        "restore wet.npy -d rain:density=0.1,noise=0.05 --prior tv --truth truth.npy -o dry.npy --json",
        "train rain.yaml -o model --device cpu",
        "generate ./model -n 2 -o new.npz",
    ]
    ran = python(site, "-c", f"COMMANDS = {commands}\n{COMMANDS}", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    figures = re.search(r'"psnr": {\s*"before": (.*),\s*"after": (.*)\s*}', ran.stdout)
    assert figures and float(figures[2]) > float(figures[1]) + 3
    assert (tmp_path / "new.npz").exists()


@pytest.mark.parametrize("check", rgmkit.testing.checks("degradation"), ids=lambda check: check.__name__)
def test_it_passes_the_conformance_checks(check, package, site, monkeypatch, recwarn):
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(package)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("rgmkit_rain", "test_rain")]:
        monkeypatch.delitem(sys.modules, name)
    tests = importlib.import_module("test_rain")
    assert Path(tests.__file__).parent == package
    tests.test_rain_is_a_degradation(check)
    assert {warning.category for warning in recwarn} <= {DeprecationWarning}
