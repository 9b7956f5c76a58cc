"""Train each objective on a toy problem for equal CPU time, and score 10,000 samples: python benchmarks/objectives.py.

The time of a step is measured first, of all objectives in turn, and gives the number of steps, which the learning rate
follows. Everything else is that of examples/toys.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from timing import machine

import rgmkit
from rgmkit.config import build, override, read_yaml
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.draws import draw_batch
from rgmkit.training.setup import set_up
from rgmkit.training.step import train_step

CONFIGS = Path(__file__).parent.parent / "examples" / "toys"
OBJECTIVES = {
    "relativistic": {"use": "relativistic", "gamma": 0.02, "interval": 4, "floor": 0.03},
    "kl": {"use": "kl", "gamma": 0.02, "interval": 4},
    "js": {"use": "js", "gamma": 0.02, "interval": 4},
    "uotm": {"use": "uotm", "gamma": 0.02, "interval": 4},
    "mmd": {"use": "mmd"},
    "mmd, learned features": {"use": "mmd", "features": "learned"},
    "dswd": {"use": "dswd"},
}
TIMED, TIMES = 20, 6  # steps that are timed together, and how often


def make_config(toy: str, name: str, seed: int) -> dict[str, Any]:
    """Return the configuration of a toy problem with another objective."""
    config = override(read_yaml(CONFIGS / f"{toy}.yaml"), [f"seed={seed}", "training.preview_every=0"])
    config["objective"] = OBJECTIVES[name]
    if not build("objective", OBJECTIVES[name]).needs_critic:
        config.pop("critic", None)
    return config


def time_steps(toy: str) -> dict[str, float]:
    """Return the CPU seconds of a step of each objective: the least of several measurements, taken in turn."""
    runs, seconds = {}, dict.fromkeys(OBJECTIVES, math.inf)
    for name in OBJECTIVES:
        configuration = read_configuration(make_config(toy, name, 0), folder=CONFIGS)
        runs[name] = set_up(configuration, ProcessGroup(torch.device("cpu")))
    for _ in range(TIMES):
        for name, run in runs.items():
            start = time.process_time()
            for _ in range(TIMED):
                train_step(run, draw_batch(run, run.step))
                run.step += 1
            seconds[name] = min(seconds[name], (time.process_time() - start) / TIMED)
    return seconds


def measure(toy: str, name: str, seed: int, steps: int) -> dict[str, float]:
    """Return the number of steps, and the score of 10,000 samples."""
    with tempfile.TemporaryDirectory() as folder:
        config = override(make_config(toy, name, seed), [f"training.steps={steps}"])
        out = rgmkit.train(config, out=Path(folder) / "model", progress=False)
        score = build("data", toy).score(rgmkit.generate(rgmkit.load(out), 10_000, seed=1, progress=False))
    return {"seed": seed, "steps": steps, **{key: float(value) for key, value in score.items()}}


def main() -> None:
    """Print a row per objective: the medians over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("toys", nargs="*", default=["gaussian25"])
    parser.add_argument("--seconds", type=float, default=12, help="CPU seconds of a training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for toy in given.toys:
        print(f"| {toy} | steps | modes | inside |\n|---|---|---|---|")
        for name, step in time_steps(toy).items():
            rows = [measure(toy, name, seed, round(given.seconds / step)) for seed in range(given.seeds)]
            median = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            found = f"{median['modes']:g} of {median['of']:g}"
            print(f"| `{name}` | {median['steps']:.0f} | {found} | {median['inside']:.3f} |", flush=True)
            results.setdefault(toy, {})[name] = rows
    if given.json:
        content = {"machine": machine(), "seconds": given.seconds, "results": results}
        given.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
