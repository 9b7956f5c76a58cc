"""Train the toys on several seeds and score 10,000 samples of each: python benchmarks/toys.py --json toys.json.

The seconds are those of the training loop, without set-up and scoring.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from pathlib import Path

import rgmkit
from rgmkit.card import read_card
from rgmkit.config import build

CONFIGS = Path(__file__).parent.parent / "examples" / "toys"


def measure(name: str, seed: int, overrides: list[str]) -> dict[str, float]:
    """Seconds of training, and the score of 10,000 samples."""
    with tempfile.TemporaryDirectory() as folder:
        changes = [f"seed={seed}", "training.preview_every=0", *overrides]
        out = rgmkit.train(CONFIGS / f"{name}.yaml", out=Path(folder) / "model", overrides=changes, progress=False)
        card = read_card((out / "README.md").read_text())
        samples = rgmkit.generate(rgmkit.load(out), 10_000, seed=1)
        score = build("data", name).score(samples)
    return {"seed": seed, "steps": card["steps"], "seconds": card["seconds"], **score}


def main() -> None:
    """Print a row per toy and seed, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("toys", nargs="*", default=["gmm", "gaussian25", "checkerboard"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"{'toy':<14}{'seed':>5}{'steps':>7}{'seconds':>9}{'modes':>9}{'inside':>9}")
    results: dict[str, list[dict[str, float]]] = {}
    for name in given.toys:
        for seed in range(given.seeds):
            row = measure(name, seed, given.overrides)
            results.setdefault(name, []).append(row)
            found = f"{row['modes']}/{row['of']}"
            print(
                f"{name:<14}{seed:>5}{row['steps']:>7}{row['seconds']:>9.1f}{found:>9}{row['inside']:>9.4f}", flush=True
            )
    if given.json:
        given.json.write_text(json.dumps({"machine": platform.platform(), "results": results}, indent=2))


if __name__ == "__main__":
    main()
