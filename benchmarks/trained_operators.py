"""Networks trained on an operator against a generic one: python benchmarks/trained_operators.py RUNS [--steps N].

Small networks of equal training (steps, batch, noise levels) on the digits: on noise alone (`gaussian`), on noise and
lower resolutions (`multiscale`), and on four operators (`severity`), one of them defined here. Each restores the
held-out digits with the default solver. Models in RUNS are used if they exist. Prints the mean PSNR in dB.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

import rgmkit
from rgmkit.training.data.digits import Digits

psnr = rgmkit.metric("psnr")
RAIN = Path(__file__).parents[1] / "examples" / "rgmkit_rain" / "rgmkit_rain" / "rain.py"
NOISES = (0.05, 0.1, 0.2)
OPERATORS: dict[str, dict[str, Any]] = {
    "blur": {"use": "blur", "std": 1.5, "boundary": "circular"},
    "downsample": {"use": "downsample", "factor": 2},
    "rain": {"use": "rain", "density": 0.1, "opacity": 0.9, "length": 6},
    "smear": {"use": "smear"},
}
SCHEDULE = {"levels": 5, "schedule": "geometric", "r_first": 0.1, "r_last": 4}
PROCESSES: dict[str, dict[str, Any]] = {
    "gaussian": {"use": "gaussian", **SCHEDULE},
    **{name: {"use": "severity", "degradation": operator, **SCHEDULE} for name, operator in OPERATORS.items()},
    "multiscale": {"use": "multiscale", "levels": 7, "schedule": "geometric", "r_first": 0.05, "r_last": 0.5},
}
# The only level of full resolution needs its share of the training.
MORE = {"multiscale": {"level_weights": (3, 1, 1, 0.5, 0.5, 0.5, 0.5)}}


class Smear(rgmkit.Degradation):
    """An operator of a third party: the mean of `length` neighbours in a row, without those over the border."""

    def __init__(self, *, length: int = 5, noise: float | None = 0.0) -> None:
        super().__init__(noise=noise)
        self.length = length

    def A(self, x: torch.Tensor) -> torch.Tensor:
        """Return means of neighbours, (B, C, H, W - length + 1)."""
        return x.unfold(-1, self.length, 1).mean(-1)

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape with `length - 1` columns more."""
        return *y_shape[:-1], y_shape[-1] + self.length - 1

    def embed(self, y: torch.Tensor) -> torch.Tensor:
        """Repeat the first and the last column."""
        left = self.length // 2
        return torch.nn.functional.pad(y, (left, self.length - 1 - left, 0, 0), mode="replicate")


@rgmkit.hookimpl
def rgmkit_components() -> list[rgmkit.Component]:
    """List the operators of this file and of the example, so that model folders can name them."""
    return [rgmkit.Component("degradation", "smear", Smear), rgmkit.Component("degradation", "rain", load_rain())]


def load_rain() -> type[rgmkit.Degradation]:
    """Return the class of the example plugin."""
    spec = importlib.util.spec_from_file_location("rain_of_the_example", RAIN)
    assert spec is not None and spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    rain: type[rgmkit.Degradation] = plugin.Rain
    return rain


def train(process: dict[str, Any], folder: Path, steps: int) -> rgmkit.RestoringPrior:
    """Train a network for a process, or load that of an earlier run."""
    config = {
        "plugins": [__file__],
        "data": {"use": "npz", "path": str(folder.parent.resolve() / "digits.npz")},
        "process": process,
        "network": {"use": "unet", "width": 24, "blocks": 1, "latent": 0},
        "objective": {"use": "mmse", "scale": "log"},
        "training": {
            "steps": steps, "lr": 2e-3, "betas": (0.9, 0.99), "ema": 0.99, "threads": 1, "preview_every": 0,
            **MORE.get(process["use"], {}),
        },
    }  # fmt: skip
    return rgmkit.load(rgmkit.train(config, out=folder, resume=True, device="cpu"))


def compare(priors: dict[str, rgmkit.RestoringPrior], name: str, noise: float) -> dict[str, float]:
    """Return the mean PSNR of each network on the measurements of an operator, and that of one evaluation."""
    truth = Digits(split="held-out").images
    options = {**OPERATORS[name], "noise": noise}
    degradation = rgmkit.degradation(options.pop("use"), **options)
    y = degradation(truth, generator=rgmkit.Streams(0, range(len(truth))))
    answers = {each: rgmkit.restore(y, degradation, prior).x for each, prior in priors.items()}
    if name in priors:
        answers["one-shot"] = rgmkit.restore(y, degradation, priors[name], solver="one-shot").x
    return {each: float(psnr(x.clamp(0, 1), truth).mean()) for each, x in answers.items()}


def main() -> None:
    """Train, print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--only", nargs="*", help="train only these")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.runs.mkdir(parents=True, exist_ok=True)
    images = (Digits().images[:, 0] * 255).round().byte()
    np.savez(given.runs / "digits.npz", images=images.numpy())
    priors = {name: train(PROCESSES[name], given.runs / name, given.steps) for name in given.only or PROCESSES}
    results = {f"{name}, noise {noise}": compare(priors, name, noise) for noise in NOISES for name in OPERATORS}
    for task, row in results.items():
        print(f"{task:<24}" + "  ".join(f"{name} {value:.2f}" for name, value in row.items()))
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
