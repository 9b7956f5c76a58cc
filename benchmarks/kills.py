"""Kill a training run repeatedly, resume it, and compare its weights with those of an uninterrupted run.

python benchmarks/kills.py [--kills 20] [--seed 0]: a small network on the digits, through the command line. Every
other kill (SIGKILL) comes while a checkpoint is being written, the others at a random moment, imports included. Exit
code 1 unless the weights are equal bit by bit.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file

CONFIG = """\
data: digits
network: {{use: unet, width: 8, blocks: 1}}
critic: {{use: unet-discriminator, width: 8}}
training: {{steps: {steps}, batch: 8, spread: 0.5, threads: 1, checkpoint_every: {every}, preview_every: 0}}
"""


def start(config: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start `rgmkit train`, with --resume if the run was begun."""
    resume = ["--resume"] if (out / "checkpoints").is_dir() else []
    command = [sys.executable, "-m", "rgmkit", "train", str(config), "-o", str(out), "--device", "cpu", *resume]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finished(run: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a run, and exit if it failed."""
    _, errors = run.communicate()
    if run.returncode:
        sys.exit(errors.decode())


def writing(run: subprocess.Popen[bytes], out: Path) -> bool:
    """Whether this process is writing a checkpoint."""
    return any((out / "checkpoints").glob(f".*.{run.pid}.part"))


def step(out: Path) -> int:
    """Return the step of the newest checkpoint, or -1."""
    return max((int(path.stem[5:]) for path in (out / "checkpoints").glob("step-*.pt")), default=-1)


def kill(
    run: subprocess.Popen[bytes], out: Path, chance: random.Random, *, while_writing: bool, startup: float, apart: int
) -> str:
    """Kill the run at a random moment, and return that moment in words."""
    begun, first = time.monotonic(), step(out)
    moment = chance.uniform(0, 1.5 * startup)
    if while_writing:
        until = first + chance.randint(0, apart)  # a checkpoint that is drawn, too
        while run.poll() is None and not (step(out) >= until and writing(run, out)):
            time.sleep(0.0002)
    else:
        while run.poll() is None and time.monotonic() - begun < moment:
            time.sleep(0.001)
    if run.poll() is not None:
        sys.exit(f"the run ended before it was killed: give more --steps\n{run.stderr.read().decode()}")  # type: ignore[union-attr]
    run.kill()
    run.communicate()
    half = "a checkpoint half written" if writing(run, out) else "no file half written"
    return f"{time.monotonic() - begun:5.2f} s after the start, at step {step(out)} or later, {half}"


def main() -> None:
    """Train one run without interruption, kill the other, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--every", type=int, default=2, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, whole, parts = folder / "digits.yaml", folder / "whole", folder / "parts"
        config.write_text(CONFIG.format(steps=given.steps, every=given.every))
        run, begun = start(config, whole), time.monotonic()
        while step(whole) < 0 and run.poll() is None:
            time.sleep(0.01)
        apart = given.steps // (2 * given.kills)  # steps that a kill waits for at the most
        startup = time.monotonic() - begun
        finished(run)
        print(f"uninterrupted: {time.monotonic() - begun:.0f} s, {startup:.1f} s of them to the first step")
        for i in range(given.kills):
            when = kill(start(config, parts), parts, chance, while_writing=i % 2 == 1, startup=startup, apart=apart)
            print(f"kill {i + 1}: {when}", flush=True)
        finished(start(config, parts))
        one, other = (load_file(out / "model.safetensors") for out in (whole, parts))
    equal = all(one[name].equal(other[name]) for name in one)
    print(f"{given.kills} kills, all resumed: the weights are {'equal bit by bit' if equal else 'DIFFERENT'}")
    sys.exit(not equal)


if __name__ == "__main__":
    main()
