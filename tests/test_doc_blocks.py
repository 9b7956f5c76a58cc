"""The code blocks of the README and of the documentation run, page by page, in a folder of small pictures.

Commands that train, evaluate, run grids, or need weights, the network or another package are only parsed, here or in
test_docs.py; `NOT_RUN` names them.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import rgmkit
from rgmkit.cli.app import main
from rgmkit.config import read_yaml
from rgmkit.experiments.config import GridSchema
from rgmkit.models.lookup import SHIPPED
from rgmkit.training.configuration import KEYS, read_configuration

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("examples/**/*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```|((?:^ {4}(?!Traceback|>>>)[^\n]*\n)+)", re.DOTALL | re.MULTILINE)
QUICK = ("degrade", "restore", "generate", "plugins", "info")
NOT_RUN = {
    "published weights or data": r"\.pth|\.mat|models/cifar10|models/celeba|CIFAR10\(",
    "the network": r"hf:|weights=download",
    "a package that is not installed, tested in test_third_party.py": r"\brain\b",
    "a package that is written first, tested in test_new_plugin.py": r"plugins (new|check)|rgmkit_vignette",
    "a model that takes minutes to train": r"runs/(gmm|rain|adversarial_regulariser)",
    "an operator of deepinv and its sinogram": r"sinogram",
    "objects of deepinv, tested in test_deepinv_objects.py": r"deepinv\.(physics|models|optim)|from_deepinv|to_deepinv",
}
SETUP = {
    "docs/degradations.md": "x = torch.rand(1, 1, 16, 16).requires_grad_()",
    "docs/photographs.md": "from torch import nn",
    "docs/deepinv.md": "y = torch.rand(1, 1, 16, 16)",
    "docs/noise.md": "x = torch.rand(1, 1, 32, 32)",
    "docs/plugins.md": "from rgmkit import Component",
}
"""What the blocks of a page take for granted."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A folder with the files that the pages name."""
    folder = tmp_path_factory.mktemp("pictures")
    rows, columns = np.mgrid[:32, :32] / 31
    colour = np.stack([rows, columns, 1 - rows], -1)
    noisy = np.clip(colour + 0.1 * np.random.default_rng(0).standard_normal(colour.shape), 0, 1)
    bytes_of = (255 * noisy).astype(np.uint8)
    for name in ("photo", "astronaut", "blurred", "noisy", "holes", "small", "y", "digit"):
        Image.fromarray(bytes_of).save(folder / f"{name}.png")
    Image.fromarray(bytes_of).save(folder / "photo.jpg", quality=10)
    for name in ("mask", "scratches"):
        Image.fromarray(255 * (rows[..., None] > 0.3)[..., 0].astype(np.uint8)).save(folder / f"{name}.png")
    for name in ("blurred.tiff", "raw.tiff"):
        tifffile.imwrite(folder / name, (65535 * noisy[..., 0]).astype(np.uint16))
    stack = (4095 * noisy.transpose(2, 0, 1)[:2, :24, :24]).astype(np.uint16)
    for name in ("counts.tif", "cells.tif"):
        tifffile.imwrite(folder / name, stack, photometric="minisblack", metadata={"axes": "ZYX"})
    np.save(folder / "small.npy", noisy[::2, ::2, 0])
    np.save(folder / "stack.npy", 100 * noisy.transpose(2, 0, 1))
    measured = (np.arange(32) % 3 > 0)[:, None] * np.ones((1, 32))
    np.save(folder / "mask.npy", measured)
    np.save(folder / "kspace.npy", 500 * measured * np.fft.fft2(noisy[..., 0], norm="ortho"))
    (folder / "runs").mkdir()
    for name in ("mine", "faces", "generative"):
        shutil.copytree(SHIPPED / "digits", folder / "runs" / name)
    return folder


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def is_quick(command: str) -> bool:
    return command.split()[1] in QUICK and can_run(command)


def can_run(code: str) -> bool:
    return not any(re.search(pattern, code) for pattern in NOT_RUN.values())


def read_commands(block: str) -> list[str]:
    """Return the commands of rgmkit in a block, with the variables and the loops of the shell replaced."""
    block = re.sub(r"\\\n\s*", " ", block)
    variables, found = dict(re.findall(r"^(\w+)=(\S+)$", block, re.MULTILINE)), []
    for line in map(str.strip, block.splitlines()):
        line = re.sub(r"(^|\s+)#.*", "", line)
        loop = re.fullmatch(r"for (\w+) in ([^;]+); do (.*); done", line)
        for value in loop[2].split() if loop else [""]:
            command = loop[3] if loop else line
            for name, text in (variables | ({loop[1]: value} if loop else {})).items():
                command = command.replace(f"${name}", text)
            if command.startswith("rgmkit "):
                found.append(command)
    return found


def run_command(command: str) -> None:
    arguments = re.sub(r"-n \d+", "-n 2", command).replace("--samples 16", "--samples 2").split()[1:]
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 0, command


def run_python(code: str, names: dict[str, Any], page: Path) -> None:
    """Run a block; one that begins with a file's name is saved there, too."""
    file = re.match(r"# (\w+\.py)\n", code)
    if file:
        Path(file[1]).write_text(code, encoding="utf-8")
    if code.startswith("def ") and code.count("\n") == 1:  # a signature
        code = f"{code.rstrip()} ..."
    compiled = compile(code, str(page), "exec")
    if can_run(code):
        exec(compiled, names)  # our own


def check_yaml(text: str) -> None:
    """Check the keys of a configuration, or of a grid; a whole configuration as before a training."""
    Path("block.yaml").write_text(text, encoding="utf-8")
    content = read_yaml("block.yaml")
    keys = set(GridSchema.__dataclass_fields__) | set(KEYS) | {"degradation"}
    assert set(content) <= keys, set(content) - keys
    if {"data", "network"} <= set(content) and "rain" not in text:
        read_configuration("block.yaml")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_run(page, pictures, tmp_path, monkeypatch):
    if page.name == "command-line.md":
        pytest.skip("made from the commands")
    folder = tmp_path / "here"
    shutil.copytree(pictures, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(ROOT / "examples/rgmkit_rain")
    monkeypatch.syspath_prepend(folder)
    names: dict[str, Any] = {"rgmkit": rgmkit, "torch": torch}
    exec(SETUP.get(name_of(page), ""), names)
    for language, fenced, indented in BLOCK.findall(page.read_text("utf-8")):
        if language == "python" and ">>>" not in fenced:
            run_python(fenced, names, page)
        elif language == "yaml":
            check_yaml(fenced)
        elif language in ("", "bash"):
            for command in filter(is_quick, read_commands(fenced or indented)):
                run_command(command)


def test_each_exception_is_needed():
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert all(re.search(pattern, text) for pattern in NOT_RUN.values())


def test_commands_are_found():
    assert read_commands("B=blur:std=1\nfor b in a b; do rgmkit degrade x.png -d $B -o $b.png; done   # twice\n") == [
        "rgmkit degrade x.png -d blur:std=1 -o a.png",
        "rgmkit degrade x.png -d blur:std=1 -o b.png",
    ]
