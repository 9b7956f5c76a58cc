"""Measure how fast pictures are read from an archive, a folder and shards, and how fast a network trains on them.

python benchmarks/data.py ARCHIVE.tar [--limit 5000] [--size 32] [--work DIR] [--steps 10] [--workers 1]: one epoch over
the pictures of a tar archive, of a folder of the same files, and of shards, each picture decoded anew; then training
steps on batches in memory, and on batches as they are read. If the last two take equally long, reading costs no time.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from rgmkit.images.formats import is_picture_file
from rgmkit.runtime.device import choose_device
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.data.archives import Archive, Shards
from rgmkit.training.data.files import Folder
from rgmkit.training.data.pictures import Pictures
from rgmkit.training.draws import draw_batch
from rgmkit.training.feed import Feed
from rgmkit.training.loop import train_step
from rgmkit.training.setup import Run, set_up

BATCH, SHARD = 64, 1000


def pictures(archive: Path, limit: int) -> Iterator[tuple[str, bytes]]:
    """Return the names and contents of the first pictures of an archive."""
    with tarfile.open(archive) as content:
        for member in content:
            if limit and is_picture_file(Path(member.name)):
                file = content.extractfile(member)
                assert file is not None
                yield member.name.removeprefix("./"), file.read()
                limit -= 1


def prepare(archive: Path, work: Path, limit: int) -> None:
    """Write the same pictures three times: `work/whole.tar`, `work/folder` and `work/shard-….tar`."""
    with ExitStack() as stack:
        whole = stack.enter_context(tarfile.open(work / "whole.tar", "w"))
        for i, (name, data) in enumerate(pictures(archive, limit)):
            if i % SHARD == 0:
                shard = stack.enter_context(tarfile.open(work / f"shard-{i // SHARD:04}.tar", "w"))
            path = work / "folder" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            for target in (whole, shard):
                target.add(path, name)


def measure_epoch(make: Callable[[], Pictures], workers: int) -> tuple[float, float, int]:
    """Return the seconds to open the data, the images per second of the first epoch, and the number of images."""
    begun = time.perf_counter()
    data = make()
    opened = time.perf_counter()
    steps = len(data) // BATCH
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, steps, workers):  # no more batches at a time than a training holds
            list(pool.map(lambda step: data.batch(BATCH, seed=0, step=step), range(first, min(first + workers, steps))))
    return opened - begun, steps * BATCH / (time.perf_counter() - opened), len(data)


def measure_training(run: Run, steps: int, *, read: bool) -> float:
    """Return the images per second of training steps, on batches that are read or on one in memory."""
    run.step, held = 0, draw_batch(run, 0)
    with Feed(run) as feed:
        begun = time.perf_counter()
        for run.step in range(steps):
            losses = train_step(run, feed.batch(run.step) if read else held)
        float(losses["critic"])  # waits for the device
        return steps * BATCH / (time.perf_counter() - begun)


def main() -> None:
    """Print one line per source, and two for the network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--limit", type=int, default=5000, help="number of pictures")
    parser.add_argument("--size", type=int, default=32, help="side of the crops")
    parser.add_argument("--width", type=int, default=48, help="width of the network")
    parser.add_argument("--steps", type=int, default=10, help="training steps")
    parser.add_argument("--workers", type=int, default=1, help="threads that read and decode")
    parser.add_argument("--device", help="[default: the accelerator, if there is one]")
    parser.add_argument("--work", type=Path, help="folder for the three copies [default: a temporary folder]")
    given = parser.parse_args()
    device = choose_device(given.device)
    torch.set_num_threads(1)
    crops: dict[str, Any] = {"size": given.size, "crop": "random", "flip": True}
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        work = Path(name)
        prepare(given.archive, work, given.limit)
        sources: dict[str, Callable[[], Pictures]] = {
            "archive": lambda: Archive(path=work / "whole.tar", **crops),
            "folder": lambda: Folder(path=work / "folder", **crops),
            "shards": lambda: Shards(path=work / "shard-*.tar", **crops),
        }
        for title, make in sources.items():
            opened, speed, count = measure_epoch(make, given.workers)
            print(f"{title:<9}{speed:10.0f} images/s over {count} images, {opened:.1f} s to open")
        data = {"use": "folder", "path": work / "folder", **crops}
        network = {"use": "unet", "width": given.width, "multipliers": [1, 2, 2]}
        for title, read in (("network alone", False), ("network and data", True)):
            config = {"data": data, "network": network, "training": {"batch": BATCH, "workers": given.workers}}
            run = set_up(read_configuration(config), ProcessGroup(device))
            print(f"{title:<17}{measure_training(run, given.steps, read=read):10.1f} images/s on {device}")


if __name__ == "__main__":
    main()
