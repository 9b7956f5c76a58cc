"""Damaged files of a run: one line that names the file, and a run that goes on computes the cell again."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
from dataclasses import replace

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

import rgmkit
from rgmkit import models
from rgmkit.config import dump_yaml, is_number, read_yaml
from rgmkit.errors import CheckpointError, ConfigError, DataError
from rgmkit.experiments import pipeline, run
from rgmkit.experiments.plan import make_plan
from rgmkit.experiments.result import Record
from rgmkit.experiments.results import Results
from rgmkit.experiments.run_folder import read_facts, read_record
from rgmkit.experiments.tables import write_tables
from rgmkit.experiments.tune import Trial, TuningLog
from rgmkit.training.data.files import Folder

RECORD = Record("a", "photo", "noise", "tv", 0, before={"psnr": 20.0}, after={"psnr": math.inf}, path=[(0.1, 20.0)])


def test_a_record_comes_back(tmp_path):
    RECORD.write(tmp_path)
    assert Record.read(tmp_path / "a.json") == RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"after": 3},
        {"after": {"psnr": "x"}},
        {"after": {"psnr": [1]}},
        {"seconds": None},
        {"nfe": "x"},
        {"path": [[1]]},
        {"pictures": 3},
        {"pictures": {"truth": "../../secret.png"}},
        {"pictures": {"truth": "/dev/zero"}},
        {"method": None},
        {"memory_mb": "x"},
        {"error": 3},
        {"unknown": 1},
        "[" * 5000,
        "3",
        "",
    ],
)
def test_a_damaged_record_is_named_and_not_used(tmp_path, change):
    (tmp_path / "cells").mkdir()
    RECORD.write(tmp_path / "cells")
    file = tmp_path / "cells" / "a.json"
    content = json.loads(file.read_text())
    file.write_text(change if isinstance(change, str) else json.dumps({**content, **change}))
    with pytest.raises(DataError, match="is damaged") as raised:
        Record.read(file)
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)
    assert read_record(tmp_path, "a") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pictures": 3, "training": [], "cells": 1}', "[" * 5000])
def test_damaged_facts_of_a_run_are_named(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match=r"run\.json is damaged"):
        read_facts(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two steps, with checkpoints of both."""
    out = tmp_path_factory.mktemp("run") / "out"
    return rgmkit.train(TRAINING, out=out, progress=False)


TRAINING = {
    "data": "gmm",
    "network": "mlp:width=8",
    "training": {"steps": 2, "batch": 4, "preview_every": 0, "checkpoint_every": 1},
}


def change_state(**change):
    return lambda state: {**state, **change}


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: [1],
        lambda state: {},
        lambda state: torch.zeros(3),
        change_state(step="x"),
        change_state(step=math.nan),
        change_state(step=-5),
        change_state(step=10**9),
        change_state(step=torch.tensor(1)),
        change_state(seconds="x"),
        change_state(config=3),
        change_state(network=3),
        lambda state: {**state, "network": {name: w * math.nan for name, w in state["network"].items()}},
    ],
)
def test_a_checkpoint_of_wrong_content_is_passed_over(trained, tmp_path, damage):
    shutil.copytree(trained, tmp_path / "out")
    newest = tmp_path / "out" / "checkpoints" / "step-00000002.pt"
    torch.save(damage(torch.load(newest)), newest)
    rgmkit.train(TRAINING, out=tmp_path / "out", resume=True, progress=False)
    whole, again = (load_file(out / "model.safetensors") for out in (trained, tmp_path / "out"))
    assert all(whole[name].equal(again[name]) for name in whole)
    for file in (tmp_path / "out" / "checkpoints").glob("*.pt"):
        torch.save(damage(torch.load(file)), file)
    with pytest.raises(CheckpointError, match="is cut or damaged"):
        rgmkit.train(TRAINING, out=tmp_path / "out", resume=True, progress=False)


@pytest.mark.parametrize("change", [{"optimizer": 3}, {"optimizer": {}}, {"schedule": {"last_epoch": "x"}}])
def test_the_state_of_another_part_is_named(trained, tmp_path, change):
    shutil.copytree(trained, tmp_path / "out")
    for file in (tmp_path / "out" / "checkpoints").glob("*.pt"):
        torch.save({**torch.load(file), **change}, file)
    with pytest.raises(CheckpointError, match=f"state of another {next(iter(change))}"):
        rgmkit.train(TRAINING, out=tmp_path / "out", resume=True, progress=False)


def test_a_model_without_the_shape_of_its_images_says_so(tmp_path):
    shutil.copytree(models.locate("digits"), tmp_path / "model")
    config = read_yaml(tmp_path / "model" / "config.yaml")
    del config["images"]
    (tmp_path / "model" / "config.yaml").write_text(dump_yaml(config))
    with pytest.raises(CheckpointError, match=r"images\.shape is missing"):
        rgmkit.load(tmp_path / "model")


GRID = {
    "data": {"skimage": "camera", "crop": 16},
    "degradation": "gaussian-noise:noise=0.1",
    "method": [{"solver": "pinv"}],
}


def test_a_second_run_in_the_same_folder_waits_for_the_first(tmp_path):
    run(GRID, out=tmp_path / "out", progress=False)
    half_written = tmp_path / "out" / "cells" / ".other.json.1.part"
    half_written.write_text("{")
    before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.suffix in (".json", ".png")}
    lock = FileLock(tmp_path / "out" / ".lock")  # as another process holds it
    with lock:
        for overwrite in (False, True):
            with pytest.raises(ConfigError, match="out is in use by process"):
                run(GRID, out=tmp_path / "out", progress=False, overwrite=overwrite)
    assert half_written.exists() and all(file.read_bytes() == content for file, content in before.items())
    run(GRID, out=tmp_path / "out", progress=False)
    assert not half_written.exists()


def test_a_run_that_begins_while_another_is_checked(tmp_path, monkeypatch):
    def plan_and_be_late(*args, **kwargs):
        plan = make_plan(*args, **kwargs)
        monkeypatch.setattr(pipeline, "make_plan", make_plan)
        run(GRID, out=tmp_path / "out", progress=False)
        return plan

    monkeypatch.setattr(pipeline, "make_plan", plan_and_be_late)
    with pytest.raises(ConfigError, match="another run has just begun"):
        run(GRID, out=tmp_path / "out", progress=False)
    assert len(list((tmp_path / "out" / "cells").glob("*.json"))) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": []}, "metrics is empty"),
        ({"seeds": 10**9}, "seeds is 1000000000: give at most"),
        ({"method": [{"prior": "tv", "tune": {"prior.weight": [None, 1]}}]}, "give two numbers"),
        ({"method": [{"solver": "pgd:step=.nan"}]}, "not NaN"),
    ],
)
def test_what_is_no_grid_is_refused_before_anything_is_computed(tmp_path, change, words):
    with pytest.raises(ConfigError, match=words):
        run({**GRID, **change}, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_among_pictures_are_no_pictures(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").symlink_to(tmp_path / "pipe")
    with pytest.raises(DataError, match="is a device or a pipe"):
        run({**GRID, "data": {"path": str(tmp_path / "pictures")}}, out=tmp_path / "out", progress=False)
    with pytest.raises(DataError, match="is a device or a pipe"):
        Folder(path=tmp_path / "pictures", size=8)


TRIAL = Trial("=cmd|' /C calc'!A0", "-1+2", '{"prior.weight": 1.5}', "@psnr", 20.0, 1.0, "'+error")


def test_spreadsheet_formulas_are_quoted_in_tables(tmp_path):
    log = TuningLog(tmp_path)
    log.add(TRIAL)
    assert TuningLog(tmp_path).trials == [TRIAL]
    write_tables(Results(tmp_path, [replace(RECORD, image="=1+1", seed=-3, error="\tx")]))
    for file in (tmp_path / "tuning.csv", tmp_path / "results.csv"):
        with file.open(newline="") as table:
            cells = [cell for row in csv.reader(table) for cell in row]
        assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and not is_number(cell)]
        assert "'=1+1" in cells or "'@psnr" in cells


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("1.5", "1.5}"),
        lambda text: text.replace('{""prior.weight"": 1.5}', "3"),
        lambda text: text.replace(",20.0", ""),
        lambda text: text.replace("20.0", "x"),
        lambda text: text.replace("20.0,1.0,''+error", "nan,1.0,"),
        lambda text: text + "\0\n",
        lambda text: text.replace("psnr", "x" * 200_000),
        lambda text: text.replace("1.5", "[" * 5000),
        lambda text: text + "\ud800",
    ],
)
def test_a_damaged_table_of_trials_is_named(tmp_path, damage):
    TuningLog(tmp_path).add(TRIAL)
    file = tmp_path / "tuning.csv"
    changed = damage(file.read_text())
    assert changed != file.read_text()
    file.write_bytes(changed.encode(errors="surrogatepass"))
    with pytest.raises(DataError, match=r"tuning\.csv is damaged"):
        TuningLog(tmp_path)
