"""Interrupt commands at random moments, let them go on, and compare what they write with what they would have written.

    python tests/fuzz/faults.py [--count 245] [--seed 0] [--only NAME …] [--kinds KIND …] [--out FILE.json]

SIGKILL, SIGTERM and SIGINT come to tiny jobs of train, run, generate, restore, degrade, convert and evaluate, each in a
process of its own that is forked from one that has imported all; their disk fills up, a tmpfs that only root can mount;
the same command starts again in the same folder. Exit code 1 if anything was lost or half-written.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

import rgmkit
from rgmkit import images
from rgmkit.cli.app import main as command_line
from rgmkit.core.random import seeded
from rgmkit.experiments.result import Record

TRAINING = """
data: gmm
network: mlp:width=16
training: {steps: 40, batch: 16, threads: 1, checkpoint_every: 4, preview_every: 0}
"""
GRID = """
data: {skimage: [camera, coins], crop: 24}
degradation: [gaussian-noise:noise=0.1, 'blur:std=1,noise=0.02']
method: {prior: tv, solver: 'pgd:iterations=5', tune: {prior.weight: [0.1, 10]}}
tune: {data: {skimage: moon, crop: 24}, evaluations: 5}
"""
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
CODES = {"SIGTERM": (-signal.SIGTERM, 0), "SIGINT": (130, 0), "full disk": (2, 0), "two at once": (2, 0)}
KINDS = (*SIGNALS, "full disk", "two at once")
TIMES = ("seconds", "images_per_second", "memory_mb")
PAGE = 4096  # bytes
FAULTS = ("lost", "half-written", "leftovers", "traceback")


@dataclass(frozen=True)
class Job:
    """A command, how it goes on after an interruption, and what it gives."""

    name: str
    start: list[str]
    again: list[str]
    result: Callable[[Path], object]


def make_jobs() -> list[Job]:
    """List the jobs."""
    train, convert = ["train", "train.yaml", "-o", "out"], ["convert", "weights.pth", "-o", "out", "--process"]
    convert += ["gaussian:levels=4", "--image-size", "16"]
    run = ["run", "grid.yaml", "-o", "out"]
    generate = ["generate", "digits", "-n", "60", "--batch", "6", "-o", "x.npz"]
    restore = ["restore", "y.npy", "-d", "blur:std=1,noise=0.05", "--prior", "digits", "-o", "x.npy"]
    degrade = ["degrade", "y.npy", "-d", "motion-blur:size=9,noise=0.05", "-o", "x.tif"]
    evaluate = ["evaluate", "digits", "--data", "digits", "--features", "digits", "--restored", "4", "--json"]
    evaluate += ["--count", "100", "--reference", "100"]
    return [
        Job("train", train, [*train, "--resume"], lambda folder: (folder / "out" / "model.safetensors").read_bytes()),
        Job("run", run, run, read_run),
        Job("generate", generate, generate, lambda folder: (folder / "x.npz").read_bytes()),
        Job("restore", restore, restore, lambda folder: (folder / "x.npy").read_bytes()),
        Job("degrade", degrade, degrade, lambda folder: (folder / "x.tif").read_bytes()),
        Job("convert", convert, [*convert, "--overwrite"], read_model),
        Job("evaluate", evaluate, evaluate, read_output),
    ]


def read_run(folder: Path) -> object:
    """Return the table of a run without times."""
    with (folder / "out" / "results.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def read_model(folder: Path) -> object:
    """Return the weights and the configuration of a model."""
    return [(folder / "out" / name).read_bytes() for name in ("model.safetensors", "config.yaml")]


def read_output(folder: Path) -> object:
    """Return what a command printed, without times."""
    return drop_times(json.loads((folder / "stdout").read_text()))


def drop_times(value: Any) -> Any:
    """Leave out what depends on the clock."""
    if isinstance(value, dict):
        return {key: drop_times(inner) for key, inner in value.items() if key not in TIMES}
    return [drop_times(inner) for inner in value] if isinstance(value, list) else value


def prepare(folder: Path) -> None:
    """Write the inputs of all jobs."""
    (folder / "train.yaml").write_text(TRAINING)
    (folder / "grid.yaml").write_text(GRID)
    np.save(folder / "y.npy", torch.rand(32, 32, generator=seeded(0)).numpy())
    network = rgmkit.config.build(
        "network", "ncsnpp:width=8,multipliers=[1,1],blocks=1,latent=8", process=rgmkit.process("gaussian", levels=4),
        image_shape=(1, 16, 16),
    )  # fmt: skip
    torch.save(network.state_dict(), folder / "weights.pth")
    (folder / "stdout").touch()  # which a full disk has, too


def start(words: list[str], folder: Path) -> int:
    """Start a command in a process of its own, and return its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.chdir(folder)
        for file, number in ((stderr_of(folder), 2), (folder / "stdout", 1)):
            os.dup2(os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        command_line(words)
    except SystemExit as end:
        with suppress(OSError):  # of a full disk, which the command has reported
            sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(3)
    os._exit(0)


def stderr_of(folder: Path) -> Path:
    """Return the file of the messages, which is not on the disk that fills up."""
    return folder.with_suffix(".stderr")


def import_all(job: Job, folder: Path) -> None:
    """Run a command in this process, so that those which are forked from it have nothing to import."""
    here = Path.cwd()
    os.chdir(folder)
    with suppress(SystemExit), redirect_stdout(sys.stderr):
        command_line(job.start)
    os.chdir(here)


def finish(pid: int) -> int:
    """Wait for a process; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def interrupt(pid: int, number: int, after: float, *, wait: bool = True) -> int | None:
    """Send a signal after some seconds of computing, unless the process has ended; return the exit code."""
    process = psutil.Process(pid)
    while sum(process.cpu_times()[:2]) < after:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    os.kill(pid, number)
    return finish(pid) if wait else None


@contextmanager
def mount(folder: Path, size: int) -> Iterator[None]:
    """Make a folder a disk of so many bytes, with the files that it has, which may be too many."""
    inputs = folder.rename(folder.with_suffix(".inputs"))
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        shutil.copytree(inputs, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(inputs)


def count_bytes(folder: Path) -> int:
    """Return the size of the files below a folder, in whole pages."""
    return sum(-(-file.stat().st_size // PAGE) * PAGE for file in folder.rglob("*") if file.is_file())


def find_broken(folder: Path) -> list[str]:
    """List the files that are half-written."""
    broken = []
    for file in folder.rglob("*"):
        try:
            if file.name.endswith(".part") or not file.is_file():
                continue
            if file.suffix in (".png", ".npy", ".tif"):
                images.read(file)
            elif file.suffix == ".npz":
                np.load(file)["images"]
            elif file.suffix == ".json" and file.parent.name == "cells":
                Record.read(file)
            elif file.suffix == ".pt":
                torch.load(file, weights_only=True)
        except Exception as error:
            broken.append(f"{file.name}: {error}")
    return broken


def disturb(job: Job, folder: Path, kind: str, after: float) -> int:
    """Start a job, and interrupt it; return its exit code, or the worse one of two."""
    if kind == "full disk":
        code = finish(start(job.start, folder))
        subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True)
        return code
    pid = start(job.start, folder)
    if kind in SIGNALS:
        return interrupt(pid, SIGNALS[kind], after)
    ended = interrupt(pid, signal.SIGCONT, after, wait=False)
    second = finish(start(job.start, folder))
    return max(finish(pid) if ended is None else ended, second, key=abs)


def judge(job: Job, folder: Path, kind: str, code: int, expected: object) -> tuple[list[str], str]:
    """Check a folder after an interruption, let the command go on, and compare; return the faults, and why."""
    faults, why = [], ""
    said = stderr_of(folder).read_text()
    if kind in CODES:
        if code not in CODES[kind] or "Traceback" in said:
            faults.append("traceback")
            why += f"exit code {code}: {said[-2000:]} "
        if list(folder.rglob("*.part")):
            faults.append("leftovers")
    broken = find_broken(folder)
    if broken:
        faults.append("half-written")
        why += str(broken)
    code = finish(start(job.again, folder))
    try:
        same = code == 0 and job.result(folder) == expected
    except Exception as error:
        same, why = False, why + repr(error)
    if not same:
        faults.append("lost")
        why += f"exit code {code}: {stderr_of(folder).read_text()[-500:]}"
    if list(folder.rglob("*.part")) and "leftovers" not in faults:
        faults.append("leftovers")
    return faults, why


def main() -> None:
    """Interrupt the jobs in turn, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=245)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    chance, table, bad = random.Random(options.seed), {}, 0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        inputs, folder = Path(name) / "inputs", Path(name) / "work"
        os.environ["XDG_CACHE_HOME"] = str(Path(name) / "cache")
        inputs.mkdir()
        prepare(inputs)
        jobs = [job for job in make_jobs() if not options.only or job.name in options.only]
        seconds, most, expected, least = {}, {}, {}, count_bytes(inputs) + PAGE
        for job in jobs:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(inputs, folder)
            import_all(job, folder)
            shutil.rmtree(folder)
            shutil.copytree(inputs, folder)
            _, status, usage = os.wait4(start(job.start, folder), 0)
            seconds[job.name] = usage.ru_utime + usage.ru_stime
            if status:
                sys.exit(f"{job.name}: {stderr_of(folder).read_text()}")
            expected[job.name], most[job.name] = job.result(folder), count_bytes(folder)
            print(f"{job.name}: {seconds[job.name]:.1f} s", file=sys.stderr)
        for i in range(options.count):
            job, kind = jobs[i % len(jobs)], options.kinds[(i // len(jobs)) % len(options.kinds)]
            shutil.rmtree(folder)
            shutil.copytree(inputs, folder)
            at = chance.random()
            with mount(folder, round(least + at * (most[job.name] - least))) if kind == "full disk" else nullcontext():
                code = disturb(job, folder, kind, at * seconds[job.name])
                faults, why = judge(job, folder, kind, code, expected[job.name])
            counts = table.setdefault(job.name, Counter())
            counts.update([kind, *faults])
            counts["ended before"] += code == 0 and kind != "two at once"
            if faults:
                bad += 1
                print(f"{job.name}, {kind}: {faults} {why}", flush=True)
            if options.out:
                options.out.write_text(json.dumps({"seed": options.seed, "jobs": table}, indent=1) + "\n")
    print(f"{options.count} interruptions: {bad} with a fault; {table}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
