"""Train, evaluate and compare the runs of examples/study, and write study.md and its plots.

    python docs/results/study.py runs/study [--only digits] [--data examples/cifar10.npz]
    python docs/results/study.py --page

A run that has finished is not trained again, and a sampler that is in the JSON file is not evaluated again. `--time`
times the training steps of all runs, for an idle machine. `--page` only writes the page, from the JSON files here.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import rgmkit
from rgmkit.config import build, read_yaml
from rgmkit.errors import RgmkitError

HERE = Path(__file__).parent
STUDIES = HERE.parents[1] / "examples" / "study"
IMAGES = HERE.parent / "images"
TIMED = 60
OTHERS = "another part of RGM-D changed"
SCORES = {"confident": "confident", "least class": "smallest class"}  # in the JSON files, and on the page
Record = dict[str, Any]


def main() -> None:
    """Run the studies, or write their page."""
    names = sorted(path.stem for path in STUDIES.glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=Path, default=Path("runs/study"), help="folder of the trained models")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", nargs="+", type=int, help="by default those of the study")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--time", action="store_true", help="only time the training steps")
    options = parser.parse_args()
    for name in () if options.page else options.only:
        study = read_yaml(STUDIES / f"{name}.yaml")
        for seed in (0,) if options.time else options.seeds or study["seeds"]:
            for run in study["runs"]:
                handle = _time_training if options.time else _train_and_evaluate
                handle(name, study, run, seed, options.runs / name)
    _write_page(names)


def _train_and_evaluate(name: str, study: Mapping[str, Any], run: str, seed: int, runs: Path) -> None:
    """Train a run, or continue it, and evaluate each sampler that has no record yet."""
    folder, config = runs / f"{_slug(run)}-{seed}", _configure(study, run, seed)
    records = _read(name)
    samplers = (study["runs"][run] or {}).get("generate", {"": "cascade"})
    missing = {label: spec for label, spec in samplers.items() if not _find(records, run, label, seed)}
    if not missing:
        return
    print(f"{run}, seed {seed}", flush=True)
    rgmkit.train(config, out=folder, resume=True, progress=False)
    facts = rgmkit.models.describe(folder)["facts"]
    for label, solver in missing.items():
        found = rgmkit.evaluate(
            folder,
            build("data", config["data"]),
            test=study["test"],
            count=study.get("count", 1000),
            seeds=[seed],
            levels=(),
            degradations=study["degradations"],
            restored=study["restored"] if label == next(iter(samplers)) else 0,
            solver=solver,
            progress=False,
        )
        noise, cost = found.generation[0], found.cost
        assert cost is not None
        record = {
            "run": run,
            "sampler": label,
            "seed": seed,
            "nfe": cost.nfe,
            "ms": 1000 / cost.images_per_second,
            "metrics": noise.metrics | noise.score,
            "real": {row.start: row.metrics for row in found.generation if row.level is None and row is not noise},
            "restoration": {each.degradation: next(iter(each.metrics.values())) for each in found.restoration},
            "steps": facts["steps"],
            "images seen": facts["images seen"],
            "seconds": facts["seconds"],
            "parameters": facts["parameters"],
        }
        _write(name, [*_read(name), record])


def _configure(study: Mapping[str, Any], run: str, seed: int) -> dict[str, Any]:
    """Return the configuration of a run: `base` with the values of its `set`."""
    config = copy.deepcopy(study["base"]) | {"seed": seed}
    for key, value in ((study["runs"][run] or {}).get("set") or {}).items():
        *path, last = key.split(".")
        part = config
        for name in path:
            part = part[name]
        part[last] = value
    return config


def _time_training(name: str, study: Mapping[str, Any], run: str, seed: int, runs: Path) -> None:
    """Record the seconds of one training step."""
    config, folder = _configure(study, run, seed), runs / f"{_slug(run)}-time"
    config["training"] |= {"steps": TIMED, "checkpoint_every": TIMED}
    try:
        rgmkit.train(config, out=folder, overwrite=True, progress=False)
    except RgmkitError as error:
        raise SystemExit(f"{run}: {error}") from None
    times = [float(line.split(",")[1]) for line in (folder / "losses.csv").read_text().splitlines()[1:]]
    step = (times[-1] - times[0]) / (TIMED - 20) if len(times) > 1 else times[-1] / TIMED
    _write(name, [each | ({"step": step} if each["run"] == run else {}) for each in _read(name)])


def _write_page(names: list[str]) -> None:
    """Replace the tables of the page, which stand between two comments, and draw the plots."""
    page = (HERE / "study.md").read_text(encoding="utf-8")
    for name in names:
        order = list(read_yaml(STUDIES / f"{name}.yaml")["runs"])
        if records := sorted(_read(name), key=lambda record: order.index(record["run"])):
            table = "\n".join(_write_tables(records))
            before, rest = page.split(f"<!-- {name} -->", 1)
            page = f"{before}<!-- {name} -->\n\n{table}\n\n<!-- end{rest.split('<!-- end', 1)[1]}"
            _plot(records, IMAGES / f"study-{name}.png")
    (HERE / "study.md").write_text(page, encoding="utf-8")


def _write_tables(records: list[Record]) -> Iterator[str]:
    """Yield the lines of the tables: means over the seeds, and of the Fréchet distance half the range as well."""
    groups = _group(records)
    score = [key for key in SCORES if key in records[0]["metrics"]]
    names = [SCORES[key] for key in score]
    heads = ["run", "Fréchet", "precision", "recall", *names, "NFE", "ms per image", "training, s"]
    yield from _table(heads, [_summarise(*key, found, score) for key, found in groups.items()])
    tasks = list(records[0]["restoration"])
    rows = [
        [run, *(f"{statistics.fmean(each['restoration'][task] for each in found):.1f}" for task in tasks)]
        for (run, _), found in groups.items()
        if found[0]["restoration"]
    ]
    yield from ("", "Restoration by the same network, mean PSNR in dB:", "", *_table(["run", *tasks], rows))


def _group(records: list[Record]) -> dict[tuple[str, str], list[Record]]:
    """Group the seeds of each run and sampler."""
    groups = defaultdict(list)
    for record in records:
        groups[record["run"], record["sampler"]].append(record)
    return groups


def _summarise(run: str, sampler: str, found: list[Record], score: list[str]) -> list[str]:
    def mean(key: str) -> float:
        return statistics.fmean(record["metrics"][key] for record in found)

    frechet = [record["metrics"]["Fréchet"] for record in found]
    return [
        f"{run}: {sampler}" if sampler else run,
        f"{mean('Fréchet'):.2f}" + (f" ± {(max(frechet) - min(frechet)) / 2:.2f}" if len(frechet) > 1 else ""),
        *(f"{mean(key):.2f}" for key in ("precision", "recall", *score)),
        str(found[0]["nfe"]),
        f"{min(record['ms'] for record in found):.3g}",
        f"{_training_seconds(found):.0f}",
    ]


def _training_seconds(found: list[Record]) -> float:
    """Return the seconds of training: those of a step on an idle machine, where they were measured."""
    return min(each["step"] * each["steps"] if "step" in each else each["seconds"] for each in found)


def _plot(records: list[Record], path: Path) -> None:
    """Plot the Fréchet distance against network evaluations and against training time.

    A line joins the runs of a process that differ in the number of levels.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 5), sharey=True, layout="constrained")
    for line, points in _find_lines(records).items():
        colour, form = ("lightgrey", "o") if line == OTHERS else (None, "o" if "diffusion" in line else "o-")
        frechet, *places, names = zip(*sorted(points, key=lambda point: point[1]), strict=True)
        for axis, x, shape in zip(axes, places, (form, "o"), strict=True):
            axis.plot(x, frechet, shape, label=line, color=colour, markersize=5, zorder=1 if line == OTHERS else 2)
        below = "four" in line or line == "blur"
        for name, x, y in zip(names, places[0], frechet, strict=True):
            axes[0].annotate(name, (x, y), fontsize=7, xytext=(4, -9 if below else 4), textcoords="offset points")
    axes[0].set(xlabel="network evaluations", xscale="log", ylabel="Fréchet distance", yscale="log")
    axes[0].margins(x=0.15)
    axes[1].set(xlabel="training time (s)")
    axes[1].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _find_lines(records: list[Record]) -> dict[str, list[tuple[float, int, float, str]]]:
    """Return the Fréchet distance, evaluations, training time and name of the runs of each line."""
    lines = defaultdict(list)
    for (run, sampler), found in _group(records).items():
        base, more, _ = run.partition(", four times")
        process, _, levels = base.partition(", T = ")
        line, name = ("diffusion", sampler) if base.startswith("diffusion") else (process, f"T = {levels}")
        if line != "diffusion" and (sampler or not levels.isdigit()):
            line, name = OTHERS, ""
        elif more:
            line += ", four times the budget"
        frechet = statistics.fmean(record["metrics"]["Fréchet"] for record in found)
        lines[line].append((frechet, found[0]["nfe"], _training_seconds(found), name))
    return lines


def _table(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    for row in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(row)} |"


def _find(records: list[Record], run: str, sampler: str, seed: int) -> bool:
    return any((each["run"], each["sampler"], each["seed"]) == (run, sampler, seed) for each in records)


def _slug(run: str) -> str:
    return "".join(each if each.isalnum() else "-" for each in run.lower()).strip("-")


def _read(name: str) -> list[Record]:
    path = HERE / f"study-{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["records"] if path.exists() else []


def _write(name: str, records: list[Record]) -> None:
    content = {"records": records, "machine": _machine(), "date": time.strftime("%Y-%m-%d")}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (HERE / f"study-{name}.json").write_text(text + "\n", encoding="utf-8")


def _machine() -> str:
    import platform

    import torch

    return f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
