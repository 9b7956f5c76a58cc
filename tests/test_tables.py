"""Grids with several sets of images, methods for some degradations, and published results beside those of the run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from rgmkit.core.random import Streams
from rgmkit.errors import ConfigError, DataError
from rgmkit.experiments import run as run_grid
from rgmkit.experiments.config import read_grid
from rgmkit.experiments.photographs import Photograph, Photographs
from rgmkit.experiments.plan import make_plan
from rgmkit.experiments.result import Record
from rgmkit.experiments.results import Results, read_results
from rgmkit.experiments.tables import write_tables

SOURCE = "Doe, Tables <1>, 2020"
GRID = {
    "title": "Two sets",
    "data": [{"name": "A", "path": "a"}, {"name": "B", "path": "b"}],
    "degradation": [
        {"name": "weak", "use": "gaussian-noise", "noise": 0.05},
        {"name": "strong", "use": "gaussian-noise", "noise": 0.2},
    ],
    "method": [
        {"name": "least squares", "solver": "pinv"},
        {"name": "TV", "prior": "tv:weight=5", "solver": "admm:iterations=2", "only": ["weak"]},
        {"name": "TV", "prior": "tv:weight=20", "solver": "admm:iterations=2", "only": ["strong"]},
    ],
    "metrics": ["psnr"],
    "published": [
        {"method": "BM3D", "source": SOURCE, "psnr": {"A": {"weak": 99.123, "strong": 30}, "B": {"weak": 28.5}}},
        {"method": "DRUNet", "source": "Roe, 2021", "psnr": {"B, strong": 31}},
    ],
}


def change(**keys: object) -> dict:
    return {**GRID, **keys}


@pytest.fixture
def place(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 16), dtype=np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def results(place):
    return run_grid(GRID, out=place / "out", progress=False)


def rows_of(page: str, title: str) -> dict[str, list[str]]:
    """The cells of a table of results.md by the label of their row."""
    lines = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def test_each_set_has_its_tables(results):
    assert results.conditions == ["A, weak", "A, strong", "B, weak", "B, strong"]
    assert results.images == ["A/0.png", "A/1.png", "B/0.png"]
    assert [len(results.select(condition, "TV")) for condition in results.conditions] == [2, 2, 1, 1]
    assert len(results.records) == results.cells == 12
    page = (results.folder / "results.md").read_text()
    mean = np.mean([record.after["psnr"] for record in results.select("A, weak", "TV")])
    assert rows_of(page, "A, weak")["TV"][0].strip("*").startswith(f"{mean:.2f} ±")


def test_the_noise_of_a_picture_is_the_same_in_whatever_set(results):
    (record,) = results.select("B, strong", "least squares")
    truth = Photograph("b/0.png", "").read()
    y = read_grid(GRID).operators[1].degradation(truth, generator=Streams(0, [0])).clamp(0, 1)
    assert record.before["psnr"] == pytest.approx(-10 * np.log10(float((y - truth).square().mean())), abs=1e-3)


def test_a_method_for_some_degradations_has_its_own_options_there(results):
    alone = change(method=[{"name": "TV", "prior": "tv:weight=20", "solver": "admm:iterations=2"}], published=[])
    other = run_grid(alone, out=results.folder.parent / "alone", progress=False)
    both = [[r.after["psnr"] for r in found.select("A, strong", "TV")] for found in (results, other)]
    weak = [[r.after["psnr"] for r in found.select("A, weak", "TV")] for found in (results, other)]
    assert both[0] == both[1] and weak[0] != weak[1]


def test_a_method_for_some_degradations_is_not_checked_or_tuned_with_others(place):
    jpeg = {"name": "jpeg", "use": "jpeg", "quality": 10}
    tuned = {"name": "TV", "prior": "tv", "solver": "admm:iterations=2", "tune": {"prior.weight": [5, 20]}}
    grid = change(
        data={"path": "a"},
        degradation=[jpeg, GRID["degradation"][0]],
        method=[
            {"name": "decoded", "prior": "tv", "solver": "dequantise", "only": ["jpeg"]},
            {**tuned, "only": ["weak"]},
        ],
        tune={"data": {"path": "b"}, "evaluations": 4},
        published=[],
    )
    assert not make_plan(grid, out=place / "out").unfit
    results = run_grid(grid, out=place / "out", progress=False)
    assert not results.failed and [(one.degradation, one.method) for one in results.tuned] == [("weak", "TV")]


def test_published_results_stand_in_the_tables_with_their_sources(results):
    page = (results.folder / "results.md").read_text()
    rows = rows_of(page, "A, weak")
    assert rows["*BM3D*, published [1]"][0] == "*99.12*"  # decimals of the metric, never bold
    assert "**" in rows["TV"][0] + rows["least squares"][0]  # the best of those measured
    assert (
        f"Published, not measured here: [1] {SOURCE}." in page.partition("## A, weak")[2].partition("## A, strong")[0]
    )
    assert not any("DRUNet" in label for label in rows)
    overview = rows_of(page, "Mean PSNR (dB)")
    assert overview["method"] == results.conditions
    assert overview["*BM3D*, published [1]"] == ["*99.12*", "*30.00*", "*28.50*", "–"]
    assert overview["*DRUNet*, published [2]"] == ["–", "–", "–", "*31.00*"]
    assert [cell.split(" ±")[0].strip("*") for cell in overview["TV"]] == [
        f"{np.mean([r.after['psnr'] for r in results.select(name, 'TV')]):.2f}" for name in results.conditions
    ]

    report = (results.folder / "report.html").read_text()
    (row,) = re.findall(
        r'<tr class="published">(?:(?!</tr>).)*BM3D, published \[1\](?:(?!</tr>).)*28.50.*?</tr>', report
    )[-1:]
    assert "<b>" not in row
    assert report.count("Published, not measured here") == 5  # four tables and the summary
    assert report.count("[1] Doe, Tables &lt;1&gt;, 2020") == 4

    stored = json.loads((results.folder / "results.json").read_text())
    assert {"condition": "A, weak", "method": "BM3D", "metric": "psnr", "value": 99.123, "source": SOURCE} in stored[
        "published"
    ]
    measured = {(row["condition"], row["method"]): row["metrics"]["psnr"]["mean"] for row in stored["measured"]}
    (record,) = results.select("B, strong", "TV")
    assert measured["B, strong", "TV"] == record.after["psnr"]
    assert measured["B, strong", "measurement"] == record.before["psnr"]


def test_an_infinite_value_is_null_in_json(tmp_path):
    record = Record("a", "cat", "blur", "tv", 0, before={"psnr": 20.0}, after={"psnr": np.inf})
    write_tables(Results(tmp_path, [record]))
    before, after = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)["measured"]
    assert before["metrics"]["psnr"] == {"mean": 20.0, "std": 0.0, "count": 1}
    assert after["metrics"]["psnr"]["mean"] is None and after["done"] == 1


def test_published_results_may_change_when_a_run_continues(results):
    before = {file: file.stat().st_mtime_ns for file in (results.folder / "cells").iterdir()}
    changed = change(published=[{"method": "SwinIR", "source": "Poe", "psnr": {"A": {"weak": 40}}}])
    again = run_grid(changed, out=results.folder, progress=False)
    assert {file: file.stat().st_mtime_ns for file in (results.folder / "cells").iterdir()} == before
    assert [row.method for row in again.published] == ["SwinIR"]
    assert [row.method for row in read_results(results.folder).published] == ["SwinIR"]
    page = (results.folder / "results.md").read_text()
    assert "*SwinIR*, published [1]" in page and "BM3D" not in page


def published(**keys: object) -> dict:
    return {"published": [{"method": "M", "source": "S", **keys}]}


def methods(*items: dict) -> dict:
    return {"method": [{"solver": "pinv", **item} for item in items]}


BAD = [
    ({"data": {"deepinv": "Set14"}}, "deepinv has no folder of pictures 'Set14': did you mean 'Set14HR'?"),
    (published(psnr={"A": {"weka": 1}}), "published[0].psnr: the grid has no 'A, weka': did you mean 'A, weak'?"),
    (published(psnr={"weak": 1}), "published[0].psnr: the grid has no 'weak'"),
    (published(pnsr={"A": {"weak": 1}}), "published[0].pnsr is no metric of the grid: did you mean 'psnr'?"),
    (published(psnr={"A": {"weak": "high"}}), "published[0].psnr.A.weak is 'high': give a number"),
    (published(psnr={"A": {"weak": True}}), "published[0].psnr.A.weak is True: give a number"),
    (published(psnr={"A": {"weak": np.inf}}), "published[0].psnr.A.weak is inf: give a number"),
    (published(psnr=30), "published[0].psnr is 30: give a number for each degradation"),
    (published(psnr={"A": {"weak": 1}}, source=None), "published[0].source is None: give text"),
    (published(psnr={"A": {"weak": 1}}, method=" "), "published[0].method is ' ': give text"),
    (published(), "published[0] has no values"),
    ({"data": [{"name": "A", "path": "a"}, {"path": "b"}]}, "data[1] has no name: name each of several sets"),
    ({"data": [{"name": "A", "path": "a"}, {"name": "A", "path": "b"}]}, "data[0] and data[1] are both called 'A'"),
    ({"data": []}, "data is empty"),
    (methods({"only": ["weka"]}), "method[0].only: no degradation 'weka': did you mean 'weak'?"),
    (methods({"only": ["weak"]}), "the degradation 'strong' is in no method's only"),
    (methods({"only": ["weak"]}, {}), "method[0] and method[1] are both called 'pinv'"),
]


@pytest.mark.parametrize("keys, message", BAD, ids=[message[:40] for _, message in BAD])
def test_mistakes_are_named_with_their_place(place, keys, message):
    with pytest.raises(ConfigError) as error:
        read_grid(change(**keys))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_paths_start_from_the_folder_of_the_grid(place, run):
    (place / "grids").mkdir()
    (place / "grids/grid.yaml").write_text(yaml.safe_dump(change(folder="..")))
    (moved,) = [data for data in read_grid("grids/grid.yaml").sets if data.name == "B"]
    assert moved.select()[0].read().shape == (1, 1, 12, 16)
    other = read_grid("grids/grid.yaml", [f"folder={place}"])
    assert Path(other.sets[0].sources()[0]) == place / "a/0.png"
    (place / "ops").mkdir()
    ran = run("run", "grids/grid.yaml", "--dry-run", "--set", "method.0.prior=net.pth", "--set", "folder=../ops")
    assert "../ops/net.pth does not exist" in ran.err
    with pytest.raises(DataError, match="does not exist"):
        read_grid("grids/grid.yaml", ["folder=nowhere"]).sets[0].select()[0].read()


def test_a_data_set_of_deepinv_is_read_from_its_folder(place, monkeypatch):
    from deepinv import datasets

    class Set14HR:
        def __init__(self, *, download: bool, verbose: bool) -> None:
            assert download and not verbose
            self.img_dir = place / "a"

    monkeypatch.setattr(datasets, "Set14HR", Set14HR)
    assert [one.label for one in Photographs(name="Set14", deepinv="Set14HR").select()] == [
        "Set14/0.png",
        "Set14/1.png",
    ]


def test_without_a_network_a_data_set_can_be_given_by_path(place, monkeypatch):
    import requests

    def get(*args: object, **options: object) -> None:
        raise requests.ConnectionError("no route\nto host")

    monkeypatch.setattr(requests, "get", get)
    monkeypatch.setenv("DEEPINV_CACHE_DIR", str(place / "cache"))
    with pytest.raises(DataError) as error:
        Photographs(deepinv="Set14HR").select()
    assert "deepinv.Set14HR cannot be downloaded: give its pictures by path, a folder" in str(error.value)
    assert "no route to host" in str(error.value) and "\n" not in str(error.value)
