"""Train the toy problems on several seeds, score 10,000 samples, and time the steps: python benchmarks/toys.py.

The seconds are those of the training loop, without set-up and scoring. The ratio compares the published training step
(benchmarks/train_step.py) with rgmkit's, on the same networks and batch with the objective kl, A B A B in one run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from timing import alternately, machine
from train_step import Published

import rgmkit
from rgmkit.config import build, override, read_yaml
from rgmkit.models.model_card import read_card
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.draws import draw_batch
from rgmkit.training.loop import train_step
from rgmkit.training.setup import set_up

CONFIGS = Path(__file__).parent.parent / "examples" / "toys"
STEPS = 100  # that are timed together

Row = dict[str, float]


def measure(name: str, seed: int, overrides: list[str]) -> Row:
    """Return the seconds of training, and the score of 10,000 samples."""
    with tempfile.TemporaryDirectory() as folder:
        changes = [f"seed={seed}", "training.preview_every=0", *overrides]
        out = rgmkit.train(CONFIGS / f"{name}.yaml", out=Path(folder) / "model", overrides=changes, progress=False)
        card = read_card((out / "README.md").read_text())
        samples = rgmkit.generate(rgmkit.load(out), 10_000, seed=1)
        score = build("data", name).score(samples)
    return {"seed": seed, "steps": card["steps"], "seconds": card["seconds"], **score}


def step_seconds(name: str, overrides: list[str], times: int) -> tuple[list[float], list[float]]:
    """Time published steps and rgmkit's, alternately."""
    config = override(read_yaml(CONFIGS / f"{name}.yaml"), [*overrides, "objective=kl"])
    run = set_up(read_configuration(config, folder=CONFIGS), ProcessGroup(torch.device("cpu")))
    published = Published(run)
    run.step = 1  # without the lazy penalty

    def theirs() -> None:
        for _ in range(STEPS):
            published.step(run.data.batch(run.settings.batch, seed=run.seed, step=1))

    def ours() -> None:
        for _ in range(STEPS):
            train_step(run, draw_batch(run, 1))

    torch.set_num_threads(run.settings.threads or torch.get_num_threads())
    return alternately(theirs, ours, times)


def medians(rows: Iterable[Row]) -> Row:
    """Return the median of each metric over the seeds."""
    columns = list(rows)
    return {key: statistics.median(row[key] for row in columns) for key in columns[0] if key != "seed"}


def main() -> None:
    """Print a row per toy problem and seed, the medians and the ratio of the steps, and write all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("toys", nargs="*", default=["gmm", "gaussian25", "checkerboard"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--times", type=int, default=5, help=f"measurements of {STEPS} steps of each side")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    form = "{:<14}{:>7}{:>7}{:>9}{:>9}{:>9}"
    print(form.format("toy", "seed", "steps", "seconds", "modes", "inside"))

    def line(name: str, seed: Any, row: Row) -> None:
        found = f"{row['modes']:g}/{row['of']:g}"
        print(form.format(name, seed, f"{row['steps']:g}", f"{row['seconds']:.1f}", found, f"{row['inside']:.4f}"))

    results: dict[str, Any] = {}
    for name in given.toys:
        rows = []
        for seed in range(given.seeds):
            rows.append(measure(name, seed, given.overrides))
            line(name, seed, rows[-1])
        line(name, "median", medians(rows))
        seconds = step_seconds(name, given.overrides, given.times)
        theirs, ours = (statistics.median(side) / STEPS for side in seconds)
        print(f"{name}: a step {1e3 * theirs:.2f} ms as published, {1e3 * ours:.2f} ms: ratio {theirs / ours:.2f}")
        results[name] = {
            "seeds": rows, "median": medians(rows), "step_seconds": seconds, "ratio": theirs / ours,
        }  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "steps": STEPS, "results": results}, indent=2))


if __name__ == "__main__":
    main()
