"""What is installed: every import is declared, and what is optional says how to install it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import rgmkit
from rgmkit.errors import RgmkitError
from rgmkit.runtime.extras import EXTRAS
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.data.named import HuggingFace

ROOT = Path(__file__).parents[1]
PROVIDERS = packages_distributions()  # takes a second
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
SOURCES = [*ROOT.glob("rgmkit/**/*.py"), *ROOT.glob("plugins/**/*.py")]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(file: Path) -> set[str]:
    """Top-level names of the modules of others that a file imports, in functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).partition(".")[0])
    return {name for name in names - set(sys.stdlib_module_names) if not name.startswith("rgmkit")}


def test_every_direct_import_is_a_declared_dependency():
    declared = re.findall(r'"([\w.-]+)', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {canonical(name) for name in declared}
    foreign = set().union(*map(imported, SOURCES))
    assert {"torch", "tifffile"} <= foreign
    missing = {name for name in foreign if not declared & {canonical(given) for given in PROVIDERS.get(name, ())}}
    assert not missing


IF_INSTALLED = {"pytest", "sklearn"}  # pytest calls what needs it; what scikit-learn adds is left out without it


def requirements(section: str) -> set[str]:
    """The distributions in a list of pyproject.toml."""
    (listed,) = re.findall(rf"^{section} = \[(.*?)\]\n", (ROOT / "pyproject.toml").read_text("utf-8"), re.M | re.S)
    return {canonical(name) for name in re.findall(r'"([\w.-]+)', listed)}


def distributions(package: str) -> set[str]:
    return {canonical(name) for name in PROVIDERS.get(package, [package])}


@pytest.mark.parametrize("package", EXTRAS)
def test_each_optional_package_is_in_its_extra(package):
    assert distributions(package) & requirements(EXTRAS[package])


def test_what_is_not_a_dependency_is_required_where_it_is_imported():
    needed, optional = requirements("dependencies"), set()
    for file in SOURCES:
        for package in (name for name in imported(file) if not distributions(name) & needed):
            optional.add(package)
            assert package in IF_INSTALLED or f'require("{package}"' in file.read_text("utf-8"), (file, package)
    assert "spandrel" in optional and optional - IF_INSTALLED <= set(EXTRAS)


def read_compressed(path: Path) -> object:
    tifffile.imwrite(path / "y.tif", np.zeros((8, 8, 3), np.uint16))
    with pytest.MonkeyPatch.context() as patch:  # tifffile says so for every compression that needs imagecodecs

        def fail(*args: object, **options: object) -> None:
            raise ValueError("requires the 'imagecodecs' package")

        patch.setattr(tifffile.TiffPageSeries, "asarray", fail)
        return rgmkit.read(path / "y.tif")


def join_group(path: Path) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        return ProcessGroup.join("cpu")


def read_matlab(path: Path) -> object:
    (path / "net.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    return rgmkit.load(path / "net.mat")


def load_weights(path: Path) -> object:
    torch.save({"body.0.weight": torch.zeros(2, 2, 3, 3)}, path / "net.pth")
    return rgmkit.load(path / "net.pth")


USES: dict[str, Callable[[Path], object]] = {
    "accelerate": join_group,
    "bm3d": lambda path: rgmkit.prior("deepinv.BM3D"),
    "datasets": lambda path: HuggingFace(name="imagefolder", size=8),
    "h5py": read_matlab,
    "huggingface_hub": lambda path: rgmkit.load("hf:someone/model"),
    "imagecodecs": read_compressed,
    "ptwt": lambda path: rgmkit.prior("wavelet"),
    "spandrel": load_weights,
    "torch_fidelity": lambda path: rgmkit.config.build("features", "inception"),
}


@pytest.mark.parametrize("package", EXTRAS)
def test_without_an_optional_package_the_error_is_the_command_that_installs_it(package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RgmkitError) as raised:
        USES[package](tmp_path)
    assert f"pip install 'rgmkit[{EXTRAS[package]}]'" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.slow
def test_the_wheel_holds_every_file_and_works_without_the_repository(tmp_path):
    wheel = pytest.importorskip("hatchling.builders.wheel")
    (path,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    site = tmp_path / "site"
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        archive.extractall(site)
    folders = [ROOT / "rgmkit", *(ROOT / "plugins").iterdir()]
    files = [(file, folder.parent) for folder in folders for file in folder.rglob("*") if file.is_file()]
    ours = {file.relative_to(base).as_posix() for file, base in files if "__pycache__" not in file.parts}
    assert ours <= set(sizes) and not any(name.startswith(("tests/", "docs/")) for name in sizes)
    networks = {name: size for name, size in sizes.items() if name.endswith(".safetensors")}
    assert sum("models/shipped/" in name for name in networks) == 4 and max(networks.values()) < 10e6
    assert Path(path).stat().st_size < 25e6
    code = "import rgmkit; print(rgmkit.__file__, rgmkit.prior('tv'), rgmkit.generate('digits', 1).shape)"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split()[:2] == [str(site / "rgmkit" / "__init__.py"), "TV()"]


def test_versions_agree():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    (version,) = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## {re.escape(version)}\b", changes, re.MULTILINE)
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)


def test_the_links_of_the_readme_are_absolute_in_a_release(tmp_path):
    before = (ROOT / "README.md").read_text("utf-8")
    (tmp_path / "README.md").write_text(before, "utf-8")
    script = [sys.executable, str(ROOT / ".github" / "absolute_links.py"), "someone/rgmkit", "v1.0"]
    subprocess.run(script, cwd=tmp_path, check=True)
    after = (tmp_path / "README.md").read_text("utf-8")
    sites = {
        "!": "https://raw.githubusercontent.com/someone/rgmkit/v1.0/",
        "": "https://github.com/someone/rgmkit/blob/v1.0/",
    }
    led = [(image, target) for image, target in LINK.findall(after) if "someone/rgmkit" in target]
    assert len(led) == len([target for _, target in LINK.findall(before) if not target.startswith("http")]) > 40
    assert {image for image, _ in led} == set(sites)
    for image, target in led:
        assert target.startswith(sites[image]) and (ROOT / target.removeprefix(sites[image])).exists()
    assert all(target.startswith("https://") for _, target in LINK.findall(after))
