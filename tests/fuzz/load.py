"""Measure time and memory of large jobs at growing sizes, to see whether a unit takes the same in a larger job.

    python tests/fuzz/load.py [--only NAME …] [--scale 1] [--out FILE.json]

Each size is measured in a process of its own, forked from one that has done a tiny job of the kind: time is that of
computing on one thread, memory the peak above what the process had before. `--scale 0.01` divides all sizes by 100.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import tifffile
import torch
from PIL import Image

from rgmkit.cli.app import main as command_line
from rgmkit.plugins.registry import Registry, _entry_points
from rgmkit.runtime.memory import MIB, peak_memory
from rgmkit.training.data.archives import Archive, Shards
from rgmkit.training.data.base import FiniteData
from rgmkit.training.data.files import Folder

GRID = """
data: {{skimage: camera, crop: 8}}
degradation: gaussian-noise:noise=0.1
method: [{{solver: pinv}}, {{prior: tikhonov}}]
seeds: {}
"""
PLUGIN = """
import rgmkit

@rgmkit.hookimpl
def rgmkit_components():
    return [rgmkit.Component("degradation", "load-{i}", "rgmkit_noise.noise:GaussianNoise", "A test")]
"""
BATCHES, LINKS, SHARD = 20, 50_000, 1000  # batches that are read, hard links of one file, pictures in a shard


@dataclass(frozen=True)
class Job:
    """A job: its unit, the sizes at which it is measured, what it needs, and what is measured."""

    unit: str
    sizes: tuple[int, ...]
    prepare: Callable[[Path, int], None]
    act: Callable[[Path, int], None]


def make_jobs() -> dict[str, Job]:
    """List the jobs by name."""
    pictures = (2_000, 20_000, 200_000)
    noise = ["-d", "gaussian-noise:noise=0.1"]
    total = [*noise, "--prior", "tv", "--solver", "pgd:iterations=2"]
    network = [*noise, "--prior", "digits", "--solver", "one-shot", "--tile", "512"]
    return {
        "run: cells": Job("cell", (200, 2_000), write_grid, lambda _, n: call("run", "grid.yaml", "-o", f"run{n}")),
        "train: a folder": Job("picture", pictures, write_folder, lambda f, _: draw(Folder(path=f / "folder", size=8))),
        "train: an archive": Job("picture", pictures, write_tar, lambda f, _: draw(Archive(path=f / "0.tar", size=8))),
        "train: shards": Job("picture", pictures, write_shards, lambda f, _: draw(Shards(path=f / "*.tar", size=8))),
        "train: a giant in tiles": Job(
            "row", (12_000, 30_000), write_giant, lambda f, _: draw(Folder(path=f / "giant", size=8, crop="random"))
        ),
        "plugins": Job("plugin", (5, 50, 500), write_plugins, load_plugins),
        "degrade": Job(
            "row", (1_000, 12_000), write_picture, lambda *_: call("degrade", "y.png", *noise, "-o", "x.tif")
        ),
        "restore: tv": Job(
            "row", (1_000, 3_000), write_picture, lambda *_: call("restore", "y.png", *total, "-o", "x.png")
        ),
        "restore: a network in tiles": Job(
            "row", (100, 400), write_picture, lambda *_: call("restore", "y.png", *network, "-o", "x.png")
        ),
        "generate": Job(
            "image", (1_000, 5_000), lambda *_: None,
            lambda _, n: call("generate", "digits", "-n", f"{n}", "-o", "x.npz"),
        ),
    }  # fmt: skip


def call(*words: str) -> None:
    """Run a command, which has to succeed."""
    try:
        command_line(list(words))
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{words}: exit code {end.code}") from end


def draw(data: FiniteData) -> None:
    """Read some batches."""
    for step in range(BATCHES):
        data.batch(16, seed=0, step=step)


def load_plugins(folder: Path, count: int) -> None:
    """Load all installed plugins, as each command does."""
    sys.path.insert(0, str(folder))
    registry = Registry()
    registry.load(_entry_points(registry))
    assert len(registry.others) >= count and not registry.failures


def write_grid(folder: Path, count: int) -> None:
    """Write a grid of so many cells."""
    (folder / "grid.yaml").write_text(GRID.format(list(range(count // 2))))


def encode_picture() -> bytes:
    """Return a PNG of 8 by 8 pixels."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)).save(file, "png")
    return file.getvalue()


def write_folder(folder: Path, count: int) -> None:
    """Write a folder of pictures, which are links to a few files."""
    (folder / "folder").mkdir(exist_ok=True)
    for i in range(count):
        file, first = folder / "folder" / f"{i}.png", folder / "folder" / f"{i - i % LINKS}.png"
        if file == first:
            file.write_bytes(encode_picture())
        else:
            os.link(first, file)


def write_tar(folder: Path, count: int, start: int = 0) -> None:
    """Write an archive of pictures."""
    content, info = encode_picture(), tarfile.TarInfo()
    with tarfile.open(folder / f"{start}.tar", "w") as archive:
        for i in range(start, start + count):
            info.name, info.size = f"{i}.png", len(content)
            archive.addfile(info, io.BytesIO(content))


def write_shards(folder: Path, count: int) -> None:
    """Write pictures into archives of 1,000."""
    for start in range(0, count, SHARD):
        write_tar(folder, min(SHARD, count - start), start)


def write_plugins(folder: Path, count: int) -> None:
    """Write distributions with a plugin each, as an installer leaves them."""
    for i in range(count):
        (folder / f"load_{i}.py").write_text(PLUGIN.format(i=i))
        info = folder / f"load_{i}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: load-{i}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[rgmkit]\nload{i} = load_{i}\n")


def write_giant(folder: Path, count: int) -> None:
    """Write a square TIFF of so many rows, in tiles."""
    side, tile = max(count, 8), np.zeros((256, 256), np.uint8)
    (folder / "giant").mkdir()
    tiles = (tile for _ in range((-(-side // 256)) ** 2))
    tifffile.imwrite(
        folder / "giant" / "a.tif", tiles, shape=(side, side), dtype=tile.dtype, tile=tile.shape, compression="zlib"
    )


def write_picture(folder: Path, rows: int) -> None:
    """Write a grey picture of so many rows of 8,000 pixels."""
    y = np.random.default_rng(0).integers(256, size=(rows, 8_000), dtype=np.uint8)
    Image.fromarray(y).save(folder / "y.png", compress_level=0)


def measure(job: Job, size: int) -> dict[str, float]:
    """Do a job in a process of its own; return its size, seconds of computing and MiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job.prepare(folder, size)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                os.chdir(folder)
                before, began = psutil.Process().memory_info().rss / MIB, time.process_time()
                with (
                    redirect_stdout(io.StringIO()),
                    redirect_stderr(io.StringIO()),
                    peak_memory(torch.device("cpu")) as peak,
                ):
                    job.act(folder, size)
                found = {"size": size, "seconds": time.process_time() - began, "mib": peak.mib - before}
                (folder / "found.json").write_text(json.dumps(found))
                code = 0
            finally:
                os._exit(code)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise RuntimeError(f"{size} failed")
        return dict(json.loads((folder / "found.json").read_text()))


def warm(job: Job, size: int) -> None:
    """Do a tiny job in this process, so that all is imported."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as name, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        job.prepare(Path(name), size)
        os.chdir(name)
        try:
            job.act(Path(name), size)
        finally:
            os.chdir(here)


def main() -> None:
    """Measure the jobs, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    for name, job in make_jobs().items():
        if options.only and not any(word in name for word in options.only):
            continue
        rows: list[dict[str, float]] = []
        if name != "plugins":  # which would stay
            warm(job, 4)
        for size in job.sizes:
            row = measure(job, max(4, round(size * options.scale)))
            rows.append(row)
            each = row["seconds"] / row["size"] * 1000
            print(f"{name}: {row['size']}, {row['seconds']:.2f} s, {each:.3g} ms a {job.unit}, {row['mib']:.0f} MiB")
            sys.stdout.flush()
            table[name] = {"unit": job.unit, "rows": rows}
            if options.out:
                options.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
