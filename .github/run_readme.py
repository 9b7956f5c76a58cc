"""Run the commands of a README in the working directory, as a user of an installed rgmkit: `run_readme.py README.md`.

The pictures that they name are made here, the training is cut short, and the example grid is the one beside the README,
on smaller pictures.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from skimage import data, io


def read_blocks(readme: Path) -> tuple[list[str], str]:
    """Return the commands in the blocks of a README, and its Python."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", readme.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [re.split(r"  +#", line)[0] for kind, block in blocks if not kind for line in block.splitlines()]
    (python,) = (block for kind, block in blocks if kind == "python")
    return [line for line in lines if line.startswith(("python ", "rgmkit "))], python


def make_pictures() -> None:
    """Make the pictures that the commands name."""
    known = np.random.default_rng(0).random((128, 128)) > 0.3
    io.imsave("mask.png", known.astype(np.uint8) * 255, check_contrast=False)
    io.imsave("photo.png", data.astronaut()[:128, 128:256] * known[..., None])
    Path("pictures").mkdir()
    for i in range(12):
        io.imsave(f"pictures/{i}.png", data.astronaut()[20 * i : 20 * i + 128, 50:178])


def shorten(command: str, folder: Path) -> str:
    """Make a command take seconds, and name the example in the README's folder."""
    command = command.replace("examples/", f"{folder}/examples/")
    if command.startswith("rgmkit train"):
        command += " --minutes 0.2"
    if command.startswith("rgmkit run"):
        command += " --set data.crop=48 --set tune.data.crop=48 --set tune.evaluations=4"
    return command


def main(readme: Path) -> None:
    """Run every command and the Python, and stop at the first that fails."""
    commands, python = read_blocks(readme)
    make_pictures()
    for command in (shorten(command, readme.parent) for command in commands):
        print(f"$ {command}", flush=True)
        subprocess.run(command, shell=True, check=True)
    subprocess.run([sys.executable, "-c", python], check=True)
    import rgmkit

    assert readme.parent not in Path(rgmkit.__file__).parents, f"{rgmkit.__file__} is not installed"


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
