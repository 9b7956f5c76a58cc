"""Draw the figures of the guides and of the explanation, into docs/images.

    python docs/_site/figures.py [NAME …]

Every picture is computed here, with the shipped networks, in a few minutes on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
import torch
from links import DOCS
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor

import rgmkit

mpl.use("Agg")
SEED = 0
GREY, BLUE, ORANGE = "0.35", "#3f51b5", "#e64a19"


def load(photograph: str, top: int, left: int, side: int = 96) -> Tensor:
    """Load a crop of a photograph of scikit-image."""
    picture = getattr(data, photograph)()[top : top + side, left : left + side]
    return torch.from_numpy(picture / 255).float().permute(2, 0, 1)[None]


def measure(degradation: rgmkit.Degradation, x: Tensor) -> Tensor:
    """Draw a measurement."""
    return degradation(x, generator=rgmkit.Streams(SEED, range(len(x))))


def psnr(x: Tensor, truth: Tensor) -> float:
    """Return the PSNR in dB."""
    return float(rgmkit.metric("psnr")(x, truth).mean())


def show(axes: Axes, image: Tensor, title: str = "", below: str = "") -> None:
    """Show the first image of a batch, with a title and a line below."""
    picture = image[0].detach().clamp(0, 1).permute(1, 2, 0).squeeze(-1).numpy()
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(below, fontsize=8, labelpad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)


def make_rows(rows: int, columns: int, size: float = 1.55) -> tuple[Figure, np.ndarray]:
    """Make a grid of axes for pictures."""
    figure, axes = plt.subplots(rows, columns, figsize=(size * columns, (size + 0.32) * rows), squeeze=False)
    return figure, axes


def save(figure: Figure, name: str) -> None:
    """Write a figure as WebP."""
    figure.tight_layout(pad=0.4)
    figure.savefig(DOCS / f"images/{name}.webp", dpi=140, pil_kwargs={"quality": 86, "method": 6})
    plt.close(figure)


PROBLEMS = {
    "blur": ("blur:std=1.5,noise=0.02", ("astronaut", 20, 170)),
    "noise": ("gaussian-noise:noise=0.1", ("chelsea", 60, 140)),
    "missing pixels": ("inpaint:keep=0.3,noise=0.01", ("coffee", 60, 330)),
    "fewer pixels": ("downsample:factor=2,noise=0.01", ("rocket", 120, 270)),
}


def choose() -> None:
    """Four problems, restored by four priors."""
    priors = ("tikhonov", "wavelet", "tv", "photographs")
    figure, axes = make_rows(len(PROBLEMS), len(priors) + 2, 1.3)
    for row, (problem, (spec, crop)) in enumerate(PROBLEMS.items()):
        x, degradation = load(*crop), rgmkit.degradation(spec)
        y = measure(degradation, x)
        images = {"measurement": y if y.shape == x.shape else degradation.embed(y)}
        images |= {prior: rgmkit.restore(y, degradation, prior, seed=SEED).x for prior in priors}
        images["truth"] = x
        for axis, (name, image) in zip(axes[row], images.items(), strict=True):
            below = "" if image is x else f"{psnr(image, x):.1f} dB"
            show(axis, image, "" if row else name, below)
        axes[row, 0].set_ylabel(problem, fontsize=9)
    save(figure, "choose")


def widths() -> None:
    """A blur of unknown width, restored with five guesses."""
    x = load("astronaut", 20, 170)
    y = measure(rgmkit.degradation("blur", std=2, noise=0.02), x)
    figure, axes = make_rows(1, 6)
    show(axes[0, 0], y, "measured", "std 2, noise 0.02")
    for axis, std in zip(axes[0, 1:], (1, 1.5, 2, 2.5, 3), strict=True):
        solution = rgmkit.restore(y, rgmkit.degradation("blur", std=std, noise=0.02), "photographs", seed=SEED)
        residual = solution.trace[-1]["residual"]
        show(axis, solution.x, f"std={std}", f"residual {residual:.4f}")
    save(figure, "widths")


def uncertainty() -> None:
    """Draws of the posterior, their standard deviation, and the error."""
    x = load("chelsea", 60, 140)
    degradation = rgmkit.degradation("inpaint:keep=0.15,noise=0.02")
    solution = rgmkit.restore(measure(degradation, x), degradation, "photographs-rgm", samples=16, seed=SEED)
    spread, error = solution.std.mean(1, keepdim=True), (solution.x - x).abs().mean(1, keepdim=True)
    figure, axes = make_rows(1, 6)
    images = {
        "measurement": measure(degradation, x),
        "mean": solution.x,
        "a draw": solution.samples[0].reshape(x.shape),
    }
    images["another draw"] = solution.samples[1].reshape(x.shape)
    images |= {"standard deviation, x 5": 5 * spread, "error of the mean, x 5": 5 * error}
    for axis, (name, image) in zip(axes[0], images.items(), strict=True):
        show(axis, image, name)
    save(figure, "uncertainty")


def levels() -> None:
    """A photograph at each level of both forward processes."""
    x = load("chelsea", 60, 140).mean(1, keepdim=True)
    processes = {name: rgmkit.process(name, levels=n) for name, n in (("gaussian", 4), ("multiscale", 7))}
    figure, axes = make_rows(2, 8, 1.2)
    for row, (name, process) in zip(axes, processes.items(), strict=True):
        for axis in row:
            axis.axis("off")
        for level in range(process.levels + 1):
            degraded = process.degrade(2 * x - 1, torch.tensor([level]), generator=rgmkit.Streams(SEED, [0]))
            row[level].axis("on")
            show(row[level], spread_out(degraded), f"level {level}")
        row[0].set_ylabel(name, fontsize=9)
    save(figure, "levels")


def schedules() -> None:
    """The noise of each level, for images in [0, 1]."""
    figure, axis = plt.subplots(figsize=(6, 3))
    kinds = {"vp, 4 levels": {"schedule": "vp", "levels": 4}, "vp, 10 levels": {"schedule": "vp", "levels": 10}}
    kinds["geometric, r_first=0.1, r_last=4, 5 levels"] = {
        "schedule": "geometric",
        "r_first": 0.1,
        "r_last": 4.0,
        "levels": 5,
    }
    for (name, options), colour in zip(kinds.items(), (GREY, BLUE, ORANGE), strict=True):
        process = rgmkit.process("gaussian", **options)
        std = process.sigma_by_level / (2 * process.a_by_level)
        axis.plot(range(1, len(std)), std[1:], "o-", color=colour, label=name)
    axis.set(yscale="log", xlabel="level", ylabel="noise std on [0, 1]")
    axis.axhspan(0.01, 0.2, color=ORANGE, alpha=0.1, lw=0)
    axis.text(9.9, 0.012, "noise of most measurements", fontsize=8, color=GREY, ha="right")
    axis.legend(fontsize=8, frameon=False, loc="center right", bbox_to_anchor=(1, 0.4))
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, "schedules")


def chain() -> None:
    """Generation: from noise down the levels, with the estimate at each."""
    prior = rgmkit.load("digits")
    levels = prior.process.levels
    figure, axes = make_rows(2, levels, 1.2)
    generator = rgmkit.Streams(SEED, [0])
    y = prior.process.terminal((1, *prior.image_shape), generator=generator)
    for column, level in enumerate(range(levels, 0, -1)):
        x = prior.restore(y, level, generator=generator)
        show(axes[0, column], spread_out(y), f"$y_{level}$")
        show(axes[1, column], x, rf"$G(y_{level}, {level - 1}, z)$")
        y = prior.degrade(x, level - 1, generator=generator)
    save(figure, "chain")


def spread_out(y: Tensor) -> Tensor:
    """Bring values of a level, whose std may be above 1, to [0, 1]."""
    return (y / max(1.0, 1.5 * float(y.std())) + 1) / 2


def digits() -> None:
    """Twenty generated digits."""
    figure, axes = make_rows(2, 10, 0.7)
    for axis, image in zip(axes.flat, rgmkit.generate("digits", 20, seed=1), strict=True):
        show(axis, image[None])
    save(figure, "digits")


def diagram() -> None:
    """One network, two tasks."""
    figure, axis = plt.subplots(figsize=(7.4, 2.5))
    axis.set(xlim=(-0.6, 4.6), ylim=(-0.85, 1.2))
    axis.axis("off")
    labels = ["$x$\nimage", "$y_1$", "$y_2$", "…", "$y_T$\nnoise"]
    for i, label in enumerate(labels):
        axis.text(
            i,
            0,
            label,
            ha="center",
            va="center",
            fontsize=11,
            bbox={"boxstyle": "round,pad=.45", "fc": "white", "ec": GREY},
        )
    for i in range(4):
        _bend(axis, (i + 0.2, 0.22), (i + 0.8, 0.22), GREY, -0.35)
        _bend(axis, (i + 0.8, -0.22), (i + 0.2, -0.22), BLUE, -0.35)
    given, learnt = "degrade: $y_s = A_s x + $ noise", "restore: $G(y_s, s - 1, z)$, then degrade to level $s - 1$"
    axis.text(2.5, 0.55, given, ha="center", color=GREY, fontsize=10)
    axis.text(2, -0.72, learnt, ha="center", color=BLUE, fontsize=10)
    for i, text in ((1, "restoration starts at the noise of $y$"), (4, "generation starts here")):
        axis.text(i, 1.05, text, ha="center", fontsize=9, color=ORANGE)
        _bend(axis, (i, 0.98), (i, 0.3), ORANGE, 0)
    save(figure, "diagram")


def _bend(axis: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, by: float) -> None:
    style = {"arrowstyle": "->", "color": colour, "connectionstyle": f"arc3,rad={by}", "lw": 1.4}
    axis.annotate("", xy=end, xytext=start, arrowprops=style)


def iterations() -> None:
    """PSNR along the iterations of several solvers, on one blurred photograph."""
    x = load("astronaut", 20, 170)
    degradation = rgmkit.degradation("blur", std=1.5, noise=0.02)
    y = measure(degradation, x)
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 2.8), sharey=True)
    plots = {
        0: ("tv", ("pgd", "fista", "admm")),
        1: ("photographs", ("pnp-drs", "cascade", "back-projection", "one-shot")),
    }
    for column, (prior, solvers) in plots.items():
        for solver in solvers:
            curve = _trace_psnr(y, degradation, prior, solver, x)
            axes[column].plot(range(1, len(curve) + 1), curve, ".-", label=solver, ms=4)
        axes[column].set(xlabel="iteration", title=prior)
        axes[column].legend(fontsize=8, frameon=False)
        axes[column].spines[["top", "right"]].set_visible(False)
    axes[0].set(ylabel="PSNR in dB", xscale="log")
    save(figure, "iterations")


def _trace_psnr(y: Tensor, degradation: rgmkit.Degradation, prior: str, solver: str, x: Tensor) -> Sequence[float]:
    curve: list[float] = []
    rgmkit.restore(
        y, degradation, prior, solver=solver, callback=lambda step, steps, image: curve.append(psnr(image, x))
    )
    return curve


FIGURES: tuple[Callable[[], None], ...] = (
    *(choose, widths, uncertainty, levels, schedules, chain, digits, diagram, iterations),
)

if __name__ == "__main__":
    for draw in FIGURES:
        if len(sys.argv) == 1 or draw.__name__ in sys.argv[1:]:
            draw()
            print(draw.__name__, flush=True)
