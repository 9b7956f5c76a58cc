from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import rgmkit
from rgmkit import images, plugins
from rgmkit.core.random import Streams
from rgmkit.errors import ConfigError, DataError
from rgmkit.experiments import run as run_grid
from rgmkit.experiments.evaluate import PathRecorder
from rgmkit.experiments.line_search import Choices, Range, read_range, search
from rgmkit.experiments.methods import read_method
from rgmkit.experiments.photographs import Photograph, Photographs
from rgmkit.experiments.run_folder import read_records as records
from rgmkit.runtime.memory import peak_memory

psnr = rgmkit.metric("psnr")

OPS = """
import os, signal
import rgmkit

class Fragile(rgmkit.Solver):
    "Gives the measurement back, times a gain; what goes wrong is asked for in the environment."
    answers = 0

    def __init__(self, *, gain: float = 1.0, way: str = "up", turns: int = 1) -> None:
        self.gain, self.way, self.turns = gain, way, turns

    def _solve(self, problem, *, generator, callback):
        if problem.y.mean() < float(os.environ.get("LEAST", 0)):
            raise ZeroDivisionError("too dark")
        if Fragile.answers == 3 and "HOW" in os.environ:
            os.kill(os.getpid(), getattr(signal, os.environ["HOW"]))
        Fragile.answers += 1
        x = self.gain * problem.degradation.embed(problem.y)
        for step in range(3):
            callback(step + 1, 3, x)
        return rgmkit.Solution(x, nfe=2)

class Distance(rgmkit.Metric):
    "The largest error of a pixel, in levels of 8 bits."
    name, unit, decimals, higher_is_better = "Distance", "levels", 1, False

    def measure(self, x, truth):
        return (x - truth).abs().flatten(1).amax(1) * 255

@rgmkit.hookimpl
def rgmkit_components():
    return [
        rgmkit.Component("solver", "fragile", Fragile, "A test"),
        rgmkit.Component("metric", "distance", Distance, "A test"),
    ]
"""
GRID = {
    "data": {"path": "photos"},
    "degradation": ["blur:std=1,noise=0.05", {"name": "small", "use": "downsample", "factor": 2, "noise": 0.01}],
    "method": [
        {"solver": "pinv"},
        {"name": "wavelet", "prior": "wavelet", "solver": {"use": "admm", "iterations": 2}},
        {"name": "kept", "solver": "fragile"},
    ],
    "seeds": [3, 5],
}


@pytest.fixture(scope="module")
def ops(tmp_path_factory) -> Path:
    """A plugin file; one for all tests, for its names can be given once only."""
    path = tmp_path_factory.mktemp("ops") / "ops.py"
    path.write_text(OPS)
    return path


@pytest.fixture
def place(tmp_path, ops) -> Path:
    """A folder with two pictures, a dark and a bright one, a third to tune on, and a grid over them."""
    noise = torch.rand(3, 15, 22, generator=torch.Generator().manual_seed(0))
    for name, level in (("photos/dark.png", 0.1), ("photos/sub/bright.png", 0.7), ("training/one.png", 0.4)):
        images.write(tmp_path / name, level + 0.2 * noise)
    plugins.add_file(ops)
    plugins.load_class("solver", "fragile").answers = 0
    write(tmp_path, {**GRID, "plugins": [str(ops)]})
    return tmp_path


def write(place: Path, grid: dict) -> Path:
    (place / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    return place / "grid.yaml"


def lasting(folder: Path) -> list:
    """The records of a run without what differs between two runs of the same cells."""
    paths = [[figure for _, figure in record.path] for record in records(folder)]
    bare = [replace(record, seconds=0, memory_mb=0, path=[]) for record in records(folder)]
    return list(zip(bare, paths, strict=True))


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}


def test_a_grid_runs_and_its_tables_say_what_the_cells_say(place, run):
    out = place / "out"
    ran = run("run", place / "grid.yaml", "-o", out)
    assert ran.code == 0, ran.err
    assert "cell" in ran.err and "measurement" in ran.out and str(out / "report.html") in ran.out
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 3 * 2
    assert list(rows[0]) == [
        "image", "degradation", "method", "seed", "psnr_before", "psnr", "ssim_before", "ssim", "nfe", "seconds",
        "memory_mb", "error",
    ]  # fmt: skip
    assert {row["image"] for row in rows} == {"dark.png", "sub/bright.png"}
    assert all(float(row["memory_mb"]) > 10 and float(row["seconds"]) >= 0 for row in rows)
    kept = [row for row in rows if row["method"] == "kept"]
    assert all(row["psnr"] == row["psnr_before"] and row["nfe"] == "2" for row in kept)

    page = (out / "results.md").read_text()
    values = [float(row["psnr"]) for row in rows if (row["degradation"], row["method"]) == ("small", "wavelet")]
    mean = sum(values) / 4
    std = math.sqrt(sum((value - mean) ** 2 for value in values) / 4)
    assert f"{mean:.2f} ± {std:.2f}" in page
    small = page.partition("## small")[2].splitlines()
    means = {line.split(" | ")[0].strip("| "): float(line.split(" | ")[1].strip("*").split()[0]) for line in small[4:8]}
    best = max(value for name, value in means.items() if name != "measurement")
    bold = [name for name, line in zip(means, small[4:8], strict=True) if "**" in line.split(" | ")[1]]
    assert bold and all(means[name] == best for name in bold)
    assert (out / "report.html").stat().st_size > 1000
    assert not list(out.rglob("*.part"))


def test_records_are_in_the_order_of_the_grid(place):
    grid = {**GRID, "data": {"path": str(place / "photos" / "dark.png")}, "seeds": [3, 1, 10, -2]}
    found = run_grid({**grid, "method": GRID["method"][:2]}, out=place / "out", progress=False).records
    conditions, methods = ("blur:std=1,noise=0.05", "small"), ("pinv", "wavelet")
    order = [(condition, seed, method) for condition in conditions for seed in grid["seeds"] for method in methods]
    assert [(record.condition, record.seed, record.method) for record in found] == order


def test_all_methods_see_one_measurement_and_figures_are_of_floats(place):
    out = run_grid(place / "grid.yaml", out=place / "out", progress=False).folder
    truth = Photograph(str(place / "photos/sub/bright.png"), "").read()
    blur = rgmkit.degradation("blur", std=1, noise=0.05)
    y = blur(truth, generator=Streams(5, [1]))
    found = {r.method: r for r in records(out) if (r.image[:3], r.degradation[:4], r.seed) == ("sub", "blur", 5)}
    assert len({r.pictures["measured"] for r in found.values()}) == 1
    for record in found.values():
        assert record.before["psnr"] == pytest.approx(float(psnr(y.clamp(0, 1), truth)), abs=1e-4)
    x = rgmkit.restore(y, blur, "wavelet", solver="admm:iterations=2", seed=5).x.clamp(0, 1)
    assert found["wavelet"].after["psnr"] == pytest.approx(float(psnr(x, truth)), abs=1e-4)
    assert found["wavelet"].after["ssim"] == pytest.approx(float(rgmkit.metric("ssim")(x, truth)), abs=1e-4)
    for kind, image in (("truth", truth), ("measured", y.clamp(0, 1)), ("restored", x)):
        written = images.read(out / found["wavelet"].pictures[kind]).x
        assert float((written - image).abs().max()) <= 0.5 / 255 + 1e-5
    small = next(r for r in records(out) if r.degradation == "small")
    assert images.read(out / small.pictures["truth"]).x.shape == (1, 3, 14, 22), "cropped to what it can take"


def test_the_path_leaves_out_the_time_of_measuring(monkeypatch):
    clock = iter([10.0, 13.0, 14.0, 17.0])  # two steps, each measured for 3 seconds
    monkeypatch.setattr("rgmkit.experiments.evaluate.time.perf_counter", lambda: next(clock))
    truth = torch.zeros(1, 1, 4, 4)
    recorder = PathRecorder(truth, psnr)
    recorder(1, 2, truth + 0.1)
    recorder(2, 2, truth + 0.01)
    assert recorder.spent == 6
    # the solver began at 9 and ended at 17.5: 8.5 seconds, 6 of them spent on measuring
    path = recorder.path(end=17.5, seconds=2.5, last=41.0)
    assert path == [(1.0, pytest.approx(20, abs=1e-3)), (2.0, pytest.approx(40, abs=1e-3)), (2.5, 41.0)]
    many = PathRecorder(truth, psnr)
    monkeypatch.setattr("rgmkit.experiments.evaluate.time.perf_counter", lambda: 0.0)
    for step in range(1000):
        many(step + 1, 1000, truth + 0.1)
    assert 30 < len(many.path(end=0, seconds=0, last=20)) <= 62


def test_peak_memory_is_that_of_the_block():
    size = 2**28
    with peak_memory(torch.device("cpu")) as low:
        pass
    with peak_memory(torch.device("cpu")) as high:
        torch.ones(size // 4)
    assert 200 < high.mib - low.mib < 400


STOPPED = {"SIGINT": 130, "SIGTERM": 143}  # exit codes


@pytest.fixture(autouse=True)
def outlive_sigterm():
    """Let SIGTERM, which ends a process, pass in place of the end of the tests."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


def kept(place: Path, ops: Path | None = None) -> Path:
    """A grid of four cells, by the fragile solver."""
    grid = {**GRID, "method": [{"name": "kept", "solver": "fragile"}], "seeds": [1]}
    return write(place, grid if ops is None else {**grid, "plugins": [str(ops)]})


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", pytest.param("SIGKILL", marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_where_it_was(place, ops, how, run, monkeypatch):
    arguments = ["run", str(kept(place, ops)), "-o", str(place / "out")]
    if how == "SIGKILL":
        env = {**os.environ, "HOW": how, "OMP_NUM_THREADS": "1"}
        stopped = subprocess.run([sys.executable, "-m", "rgmkit", *arguments], env=env, timeout=300)
        assert stopped.returncode == -9
    else:
        monkeypatch.setenv("HOW", how)
        ran = run(*arguments)
        assert ran.code == STOPPED[how]
        assert "stopped with 3 of 4 cells done: the same command continues from there" in ran.err
        monkeypatch.delenv("HOW")
    before = {path.name: path.stat().st_mtime_ns for path in (place / "out" / "cells").glob("*.json")}
    assert len(before) == 3
    (place / "out" / "cells" / ".half.json.1.part").write_text("{")

    assert run(*arguments).code == 0
    after = {path.name: path.stat().st_mtime_ns for path in (place / "out" / "cells").iterdir()}
    assert len(after) == 4 and before.items() <= after.items(), "a cell that is done is left alone"
    run_grid(place / "grid.yaml", out=place / "whole", progress=False)
    assert lasting(place / "out") == lasting(place / "whole")
    assert pictures(place / "out") == pictures(place / "whole")


def test_a_failed_cell_is_recorded_and_tried_again_and_the_rest_goes_on(place, run, monkeypatch):
    monkeypatch.setenv("LEAST", "0.5")
    ran = run("run", kept(place), "-o", place / "out")
    assert ran.code == 1
    assert "2 of 4 cells failed" in ran.err.splitlines()[-1]
    assert "ZeroDivisionError: too dark" in ran.err.splitlines()[-1]
    page = (place / "out" / "results.md").read_text()
    assert "kept: 1 of 2 cells failed, the first with: ZeroDivisionError: too dark" in page
    with (place / "out" / "results.csv").open() as file:
        errors = {row["image"]: row["error"] for row in csv.DictReader(file)}
    assert errors == {"dark.png": "ZeroDivisionError: too dark", "sub/bright.png": ""}

    monkeypatch.delenv("LEAST")
    assert (
        "failed, to do: dark.png, small, kept" in run("run", place / "grid.yaml", "-o", place / "out", "--dry-run").out
    )
    assert run("run", place / "grid.yaml", "-o", place / "out").code == 0
    assert "failed" not in (place / "out" / "results.md").read_text()


def test_a_method_that_does_not_fit_a_degradation_is_left_out_there(place, run, monkeypatch):
    ran = run("run", kept(place), "-o", place / "alone", "--set", "degradation=[jpeg]")
    assert ran.code == 2 and "with degradation[0] and dark.png (data): solver Fragile needs a linear" in ran.err
    monkeypatch.setattr(plugins.load_class("solver", "fragile"), "needs_linear", False)
    methods = [{"name": "kept", "solver": "fragile", "tune": {"solver.gain": [0.5, 2]}}]
    methods += [{"name": "tuned", "prior": "tv", "solver": "pgd:iterations=2", "tune": {"prior.weight": [1, 9]}}]
    grid = {**GRID, "degradation": ["jpeg", "blur:std=1,noise=0.05"], "method": methods, "seeds": [1]}
    grid |= {"tune": {"data": {"path": "training"}, "evaluations": 4}}
    assert "left out, does not fit (solver PGD" in run("run", write(place, grid), "--dry-run").out
    ran = run("run", place / "grid.yaml", "-o", place / "out")
    assert ran.code == 0 and ran.err.count("tuned is left out under jpeg, it does not fit: solver PGD needs") == 1
    assert [(r.degradation, r.method) for r in records(place / "out") if not r.fits] == [("jpeg", "tuned")] * 2
    assert ("jpeg", "tuned") not in {(row["degradation"], row["method"]) for row in evaluations(place / "out")}
    assert (place / "out" / "results.csv").read_text().count("does not fit: solver PGD needs") == 2
    assert "tuned does not fit: solver PGD needs a linear degradation" in (place / "out" / "results.md").read_text()
    page = (place / "out" / "report.html").read_text()
    assert 'colspan="6">does not fit: solver PGD' in page and "8 cells</" in page and "failed" not in ran.out + ran.err
    write(place, {**grid, "method": [{"solver": "pinv"}, methods[1]]})
    assert run("run", place / "grid.yaml", "-o", place / "two").code == 2, "no method fits jpeg"


def test_a_picture_that_vanishes_or_breaks_half_way_costs_its_own_cells_only(place, run):
    bright = place / "photos" / "sub" / "bright.png"
    whole = bright.read_bytes()
    bright.write_bytes(whole[:200])  # its header is there: it is found when it is read
    ran = run("run", kept(place), "-o", place / "out")
    assert ran.code == 1 and "2 of 4 cells failed" in ran.err and "bright.png cannot be decoded" in ran.err
    bright.unlink()
    ran = run("run", place / "grid.yaml", "-o", place / "out")
    assert ran.code == 1 and "bright.png does not exist" in ran.err
    bright.write_bytes(whole)
    assert run("run", place / "grid.yaml", "-o", place / "out").code == 0
    run_grid(place / "grid.yaml", out=place / "whole", progress=False)
    assert lasting(place / "out") == lasting(place / "whole")


def test_a_folder_goes_on_with_its_own_grid_only(place, run):
    out = place / "out"
    grid = kept(place)
    assert run("run", grid, "-o", out).code == 0
    cases = [
        (("--set", "seeds=[1,2]"), "seeds is [1, 2], and was [1]"),
        (("--set", "method.0.solver.gain=2"), "method[0].solver is {use: fragile, gain: 2}, and was fragile"),
        (("--set", "data.grey=true"), "data.grey is true, and was not there"),
    ]
    for more, message in cases:
        ran = run("run", grid, "-o", out, *more)
        assert ran.code == 2 and message in ran.err
    images.write(place / "photos" / "new.png", torch.ones(1, 16, 16))
    ran = run("run", grid, "-o", out)
    assert ran.code == 2 and "new.png, which is new in data" in ran.err

    (out / "mine.txt").write_text("mine")
    assert run("run", grid, "-o", out, "--overwrite").code == 0
    assert len(list((out / "cells").iterdir())) == 6 and (out / "mine.txt").exists()
    ran = run("run", grid, "-o", place / "photos", "--overwrite")
    assert ran.code == 2 and "is not empty and holds no run" in ran.err and len(list((place / "photos").iterdir())) == 3


def test_report_writes_what_is_there_of_a_run(place, run):
    out = place / "out"
    assert run("run", kept(place), "-o", out).code == 0
    page, table = (out / "report.html").read_bytes(), (out / "results.csv").read_bytes()
    for name in ("report.html", "results.csv", "results.md"):
        (out / name).unlink()
    assert run("report", out).code == 0
    assert ((out / "report.html").read_bytes(), (out / "results.csv").read_bytes()) == (page, table)
    next((out / "cells").iterdir()).unlink()
    assert "kept" in run("report", out).out
    assert "1 of 4 cells are not done." in (out / "results.md").read_text()
    assert "holds no run" in run("report", place / "photos").err


def tuned(place: Path, tune: dict, **more) -> Path:
    """A grid whose fragile solver multiplies a measurement with hardly any noise by a gain: 1 is the best."""
    return write(
        place,
        {
            **GRID,
            "degradation": "gaussian-noise:noise=0.01",
            "method": [{"name": "kept", "solver": "fragile", "tune": tune}],
            "tune": {"data": {"path": "training"}, "evaluations": 16, **more},
            "seeds": [1],
        },
    )


def evaluations(folder: Path) -> list[dict[str, str]]:
    with (folder / "tuning.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_tuning_finds_a_known_optimum_and_is_not_done_twice(place, run, monkeypatch):
    grid = tuned(place, {"solver.gain": [0.3, 5]})
    fragile = plugins.load_class("solver", "fragile")
    monkeypatch.setenv("HOW", "SIGTERM")
    assert run("run", grid, "-o", place / "out").code == STOPPED["SIGTERM"]
    first = evaluations(place / "out")
    assert len(first) == 3
    monkeypatch.delenv("HOW")
    ran = run("run", grid, "-o", place / "out")
    assert ran.code == 0 and "at an end" not in ran.err
    rows = evaluations(place / "out")
    assert rows[:3] == first and len(rows) == 16 == len({row["values"] for row in rows})
    assert fragile.answers == 16 + 2
    best = max(rows, key=lambda row: float(row["figure"]))
    gain = json.loads(best["values"])["solver.gain"]
    assert gain == pytest.approx(1, abs=0.03)

    page = (place / "out" / "results.md").read_text()
    assert f"| kept | solver.gain = {gain:g} | {float(best['figure']):.2f} | 16 |  |" in page
    record = records(place / "out")[0]
    shown = images.read(place / "out" / record.pictures["measured"]).x * gain
    assert float((images.read(place / "out" / record.pictures["restored"]).x - shown.clamp(0, 1)).abs().max()) < 0.01

    run_grid(grid, out=place / "whole", progress=False)
    assert evaluations(place / "whole") == rows and lasting(place / "whole") == lasting(place / "out")


def test_a_best_value_at_the_end_of_its_range_is_said(place, run):
    ran = run("run", tuned(place, {"solver.gain": [1.5, 5]}, evaluations=4), "-o", place / "out")
    assert ran.code == 0
    assert "the best solver.gain is at an end of its range, widen it" in ran.err
    assert "solver.gain at an end of the range" in (place / "out" / "results.md").read_text()
    assert run("report", place / "out").code == 0
    assert "solver.gain at an end of the range" in (place / "out" / "results.md").read_text()


def test_a_metric_of_a_plugin_file_that_is_better_when_lower_is_tuned_for_and_shown(place, ops, run):
    grid = tuned(place, {"solver.gain": [0.2, 7]}, metric="distance")
    content = yaml.safe_load(grid.read_text())
    methods = [*content["method"], {"name": "dark", "solver": "fragile:gain=0.3"}]
    write(place, {**content, "plugins": [str(ops)], "metrics": ["distance", "psnr"], "method": methods})
    ran = run("run", grid, "-o", place / "out")
    assert ran.code == 0, ran.err
    trials = evaluations(place / "out")
    best = min(trials, key=lambda row: float(row["figure"]))
    gain = json.loads(best["values"])["solver.gain"]
    assert gain == pytest.approx(1, abs=0.06) and {row["metric"] for row in trials} == {"distance"}
    page = (place / "out" / "results.md").read_text()
    assert f"| kept | solver.gain = {gain:g} | {float(best['figure']):.1f} | 16 |  |" in page
    assert "Distance (levels) on training images" in page and "| method | Distance (levels) | PSNR (dB) |" in page
    rows = {
        line.split(" | ")[0].strip("| "): line for line in page.splitlines() if line.startswith(("| kept", "| dark"))
    }
    assert rows["kept"].split(" | ")[1].startswith("**") and not rows["dark"].split(" | ")[1].startswith("**")
    record = records(place / "out")[0]
    assert record.path_metric == "distance" and record.path[-1][1] == record.after["distance"]
    report = (place / "out" / "report.html").read_text()
    assert "Distance against time" in report and f"<b>solver.gain = {gain:g}" in report
    (place / "out" / "results.md").unlink()
    facts = json.loads((place / "out" / "run.json").read_text())
    assert facts["metrics"]["distance"]["higher_is_better"] is False
    assert run("report", place / "out").code == 0 and (place / "out" / "results.md").read_text() == page


def test_values_that_fail_are_logged_and_a_method_that_cannot_be_tuned_fails_alone(place, run, monkeypatch):
    grid = yaml.safe_load(tuned(place, {"solver.gain": [0.5, 2]}, evaluations=4).read_text())
    write(place, {**grid, "method": [*grid["method"], {"solver": "pinv"}]})
    monkeypatch.setenv("LEAST", "2")
    ran = run("run", place / "grid.yaml", "-o", place / "out")
    assert ran.code == 1 and "2 of 4 cells failed" in ran.err
    assert {row["error"] for row in evaluations(place / "out")} == {"ZeroDivisionError: too dark"}
    found = {record.method: record.error for record in records(place / "out")}
    assert found["pinv"] is None and "solver.gain could be tuned: ZeroDivisionError: too dark" in found["kept"]
    monkeypatch.delenv("LEAST")
    assert run("run", place / "grid.yaml", "-o", place / "out").code == 0
    assert sum(not row["error"] for row in evaluations(place / "out")) == 4


def test_the_search_takes_one_number_after_the_other():
    calls: dict[str, float] = {}

    def score(values):
        text = json.dumps(values)
        calls[text] = -((math.log(values["a"]) - 1) ** 2) - (values["n"] - 7) ** 2 - (values["kind"] != "good")
        return calls[text]

    numbers = [Range("a", 0.1, 1000.0), Range("n", 1.0, 40.0, "linear", integer=True), Choices("kind", ("bad", "good"))]
    best = search(score, numbers, evaluations=20)
    assert best["a"] == pytest.approx(math.e, rel=0.1) and best["n"] == 7 and best["kind"] == "good"
    assert isinstance(best["n"], int) and len(calls) <= 20 * 3


def test_what_is_tuned_is_a_range_or_choices():
    assert read_range("x", [0.1, 10], path="x", integer=False) == Range("x", 0.1, 10.0, "log")
    assert read_range("x", [0, 10], path="x", integer=True) == Range("x", 0.0, 10.0, "linear", integer=True)
    assert read_range("x", {"low": 1, "high": 9, "scale": "linear"}, path="x", integer=False) == Range(
        "x", 1, 9, "linear"
    )
    assert read_range("x", [4, 8, 16], path="x", integer=True) == Choices("x", (4, 8, 16))
    assert read_range("x", {"choices": [4, 8]}, path="x", integer=True) == Choices("x", (4, 8))
    assert read_range("x", ["db4", "haar"], path="x", integer=False) == Choices("x", ("db4", "haar"))
    asked = {"prior": "tv", "solver": "admm", "tune": {"solver.iterations": [2, 6]}}
    assert read_method(asked, "method[0]", Path()).parameters == (Range("solver.iterations", 2.0, 6.0, integer=True),)
    with pytest.raises(ConfigError, match=r"x\.low is 0: a logarithmic scale needs positive numbers"):
        read_range("x", {"low": 0, "high": 9, "scale": "log"}, path="x", integer=False)


def test_photographs_are_read_as_they_are_asked_for(tmp_path):
    for name in ("b.png", "a/z.png", ".hidden.png", "a/.no/x.png"):
        images.write(tmp_path / name, torch.rand(3, 9, 12, generator=torch.Generator().manual_seed(1)))
    (tmp_path / "notes.txt").write_text("")
    data = Photographs(path=tmp_path, skimage="camera", crop=6, grey=True)
    assert [p.label for p in data.select()] == ["a/z.png", "b.png", "camera"]
    whole = Photographs(path=tmp_path / "b.png").select()[0].read()
    crop = data.select()[1].read()
    weights = torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)
    torch.testing.assert_close(crop, (whole * weights).sum(1, keepdim=True)[..., 1:7, 3:9], atol=1e-3, rtol=0)
    assert all(p.shape() == tuple(p.read().shape[1:]) for p in data.select())
    turned = tmp_path / "turned.jpg"
    picture, exif = Image.new("RGB", (20, 10)), Image.Exif()
    exif[0x0112] = 6
    picture.save(turned, exif=exif)
    grey = tmp_path / "deep.tif"
    images.write(grey, images.Picture(torch.rand(1, 1, 5, 8), bits=16))
    for file in (turned, grey):
        photograph = Photograph(str(file), "")
        assert photograph.shape() == tuple(photograph.read().shape[1:])
    np.save(tmp_path / "high.npy", np.full((8, 8), 3.0))
    with pytest.raises(DataError, match="values from 3 to 3: bring them to"):
        Photograph(str(tmp_path / "high.npy"), "").read()


def test_a_grid_in_python_takes_objects(tmp_path):
    blur = rgmkit.degradation("blur", std=1, noise=0.02)
    grid = {
        "data": {"skimage": "camera", "crop": 16},
        "degradation": [{"name": "mine", "use": blur}],
        "method": [{"name": "tv", "prior": rgmkit.prior("tv", weight=5), "solver": rgmkit.solver("pgd", iterations=2)}],
    }
    first = run_grid(grid, out=tmp_path / "out", progress=False)
    again = run_grid(grid, out=tmp_path / "out", progress=False)
    assert first.records == again.records and not first.failed
    other = {**grid, "degradation": [{"name": "mine", "use": rgmkit.degradation("blur", std=2, noise=0.02)}]}
    with pytest.raises(ConfigError, match="degradation"):
        run_grid(other, out=tmp_path / "out", progress=False)


def test_a_model_is_a_method(tmp_path):
    grid = {
        "data": {"skimage": "camera", "crop": 16},
        "degradation": "gaussian-noise:noise=0.2",
        "method": [{"prior": "digits"}, {"prior": "digits", "solver": {"use": "pnp-drs", "iterations": 1}}],
    }
    results = run_grid(grid, out=tmp_path / "out", progress=False)
    assert not results.failed and all(record.nfe > 0 for record in results.records)
    assert [record.method for record in results.records] == ["digits", "digits + pnp-drs:iterations=1"]


def test_warnings_become_notes_of_the_cell_and_are_said_once(place, run):
    grid = {**GRID, "data": {"path": "photos", "crop": 9}, "method": [{"solver": "pinv"}], "degradation": "blur:std=1"}
    ran = run("run", write(place, grid), "-o", place / "out")
    assert ran.code == 0
    assert all(any("window of 9 pixels" in note for note in record.notes) for record in records(place / "out"))
    assert ran.err.count("window of 9 pixels") == 1


def test_a_run_of_version_0_1_continues_and_is_reported(tmp_path, run):
    shutil.copytree(Path(__file__).parent / "old_run", tmp_path / "old")
    folder = tmp_path / "old" / "run"
    before = records(folder)
    missing = next(record for record in before if record.method == "tv")
    (folder / "cells" / f"{missing.key}.json").unlink()
    trials = (folder / "tuning.csv").read_bytes()
    ran = run("run", tmp_path / "old" / "grid.yaml", "-o", folder)
    assert ran.code == 0, ran.err
    assert (folder / "tuning.csv").read_bytes() == trials
    after = records(folder)
    assert [r.key for r in after] == [r.key for r in before] and len(after) == 4
    for old, new in zip(before, after, strict=True):
        assert new.before == pytest.approx(old.before, abs=1e-4)
        assert new.after == pytest.approx(old.after, abs=0.02)  # solvers started from embed(y) in version 0.1
    assert sum(new != old for old, new in zip(before, after, strict=True)) == 1, "the others are left alone"
    page = (folder / "report.html").read_text()
    assert (
        "PSNR against time" in page
        and "<title>pinv: " in page
        and "Tuned on training images" in page
        and "PSNR (dB)" in page
    )


@pytest.mark.slow
def test_two_processes_share_the_cells(place, ops):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = ["-m", "rgmkit", "run", tuned(place, {"solver.gain": [0.5, 2]}, evaluations=4), "--device", "cpu"]
    write(place, {**yaml.safe_load((place / "grid.yaml").read_text()), "plugins": [str(ops)]})
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [*launch, *map(str, command), "-o", str(place / "out")], env=env, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("measurement") == 1, "one process prints the tables"
    assert len(evaluations(place / "out")) == 4
    run_grid(place / "grid.yaml", out=place / "alone", progress=False)
    assert lasting(place / "out") == lasting(place / "alone")
    assert (place / "out" / "report.html").exists() and len(lasting(place / "out")) == 2


BAD = [
    ({"dta": {}}, "dta is not an option of a grid: did you mean 'data'?"),
    ({"zzz": {}}, "a grid (its options are data, degradation, method, metrics, seeds, tune, title, plugins, published"),
    ({"data": {}}, "data: there are no pictures: give path, a folder or files, or skimage"),
    ({"data": {"path": "photoz"}}, "photoz does not exist"),
    ({"data": {"path": "empty"}}, "data: empty holds no pictures"),
    ({"data": {"skimage": ["astronut"]}}, "data: skimage has no photograph 'astronut' here: did you mean 'astronaut'?"),
    ({"data": {"path": "photos", "crop": 40}}, "dark.png has 15x22 pixels (height x width): give 15 or less"),
    ({"data": {"path": "photos", "crop": 0}}, "data: crop is 0: give 1 or more"),
    ({"data": {"path": ["photos", "photos/dark.png"]}}, "dark.png is named twice"),
    ({"degradation": []}, "degradation is empty: give one degradation or more"),
    ({"degradation": ["blur:std=two"]}, "degradation[0].std is 'two': give a number or null"),
    ({"degradation": [{"use": "blurr"}]}, "degradation[0]: no degradation is named 'blurr', the nearest is 'blur'"),
    ({"degradation": ["blur", {"use": "blur"}]}, "degradation[0] and degradation[1] are both called 'blur'"),
    (
        {"degradation": {"use": "gaussian-noise", "noise": "poisson"}},
        "degradation[0], with dark.png (data): the noise Poisson() has unknown parameters: give them",
    ),
    ({"degradation": "downsample:factor=40"}, "degradation[0], with dark.png (data): downsample: factor 40 is larger"),
    ({"method": [{"name": "x"}]}, "method[0] has neither a prior nor a solver"),
    ({"method": [{"prir": "tv"}]}, "method[0].prir is not an option of a method: did you mean 'prior'?"),
    ({"method": [{"prior": "wavelit"}]}, "method[0]: no prior is named 'wavelit', the nearest is 'wavelet'"),
    ({"method": [{"prior": {"use": "tv", "wait": 2}}]}, "method[0].prior.wait is not an option of prior 'tv': did you"),
    ({"method": [{"solver": {"use": "admm", "iterations": 1.5}}]}, "method[0].solver.iterations is 1.5: give a whole"),
    (
        {"method": [{"prior": "tv", "solver": "cascade"}]},
        "method[0], with degradation[0] and dark.png (data): solver Cas",
    ),
    ({"method": [{"solver": "admm"}]}, "solver ADMM needs a prior with prox, and there is none"),
    ({"method": "tv"}, "method[0] is 'tv': give a mapping, such as {prior: tv"),
    ({"metrics": ["psnr", "sim"]}, "metrics[1]: no metric is named 'sim', the nearest is 'ssim'"),
    ({"metrics": ["psnr", "psnr"]}, "metrics[1] is 'psnr' again"),
    ({"seeds": 0}, "seeds is 0: give how many, 1 or more"),
    ({"seeds": [1, 1]}, "seeds is [1, 1]: give each seed once"),
    ({"seeds": "one"}, "seeds is 'one': give a whole number or a list"),
    ({"tune": {"data": {"path": "training"}}}, "tune is given, and no method says what is tuned"),
    ({"method": [{"prior": "tv", "tune": {"prior.weight": [1, 2]}}]}, "method[0].tune needs training images"),
    (
        {"method": [{"prior": "tv", "tune": {"prior.wait": [1, 2]}}]},
        "method[0].tune.prior.wait is no option of prior 'tv'",
    ),
    ({"method": [{"prior": "tv", "tune": {"weight": [1, 2]}}]}, "write prior.weight"),
    ({"method": [{"prior": "tv", "tune": {"prior.weight": [2, 1]}}]}, "from 2 to 1: give the lower end first"),
    ({"method": [{"prior": "tv", "tune": {"prior.weight": 3}}]}, "method[0].tune.prior.weight is 3: give two numbers"),
    ({"method": [{"prior": "digits", "tune": {"prior.x": [1, 2]}}]}, "digits is a trained model and has no options"),
    (
        {
            "method": [{"prior": "tv", "tune": {"prior.weight": [-3, 2]}}],
            "tune": {"data": {"path": "training"}},
        },
        "method[0].tune.prior.weight: prior: weight is -3",
    ),
    (
        {
            "method": [{"prior": "tv", "solver": "admm", "tune": {"solver.iterations": [0, 4]}}],
            "tune": {"data": {"path": "training"}},
        },
        "error: method[0].tune.solver.iterations is 0: give a whole number",
    ),
    (
        {"method": [{"prior": "tv", "tune": {"prior.weight": [1, 2]}}], "tune": {"data": {"path": "copies"}}},
        "the same as",
    ),
    (
        {
            "method": [{"prior": "tv", "tune": {"prior.weight": [1, 2]}}],
            "tune": {"data": {"path": "training"}, "metric": "psrn"},
        },
        "tune.metric: no metric is named 'psrn', the nearest is 'psnr'",
    ),
]


@pytest.mark.parametrize("change, message", BAD, ids=[message[:50] for _, message in BAD])
def test_a_bad_grid_is_refused_before_anything_runs(place, change, message, run, monkeypatch):
    monkeypatch.chdir(place)
    Path("empty").mkdir()
    images.write("copies/other.png", images.read("photos/dark.png"))
    ran = run("run", write(place, {**GRID, **change}).name, "-o", "out")
    assert ran.code == 2 and message in ran.err
    assert len(ran.err.splitlines()) == 1 and not ran.out
    assert not Path("out").exists()
