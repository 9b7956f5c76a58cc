from __future__ import annotations

import base64
import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from small_run import DEGRADATIONS, METHODS, NASTY, colours, make_run, save

from rgmkit.experiments.report import write_report
from rgmkit.experiments.report.curves import mean_curve
from rgmkit.experiments.result import Record
from rgmkit.experiments.results import Results
from rgmkit.images import read


class Reader(HTMLParser):
    """The texts of table rows, of scripts by id, and of everything that is shown."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.scripts, self.shown, self._script, self._cell = [], {}, "", None, False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True
        elif tag == "script":
            self._script = dict(attrs).get("id", "code")
        elif tag == "b":
            self.rows[-1][-1] += "*"

    def handle_endtag(self, tag):
        self._script = None if tag == "script" else self._script

        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, text):
        if self._script is not None:
            self.scripts[self._script] = text
        else:
            self.shown += text
            if self._cell:
                self.rows[-1][-1] += text

    @property
    def data(self):
        return json.loads(self.scripts["data"], parse_constant=pytest.fail)

    def picture(self, slot):
        kind, _, content = self.scripts[f"picture-{slot}"].partition(";base64,")
        return kind, base64.b64decode(content)

    @property
    def pictures(self):
        return sum(name.startswith("picture-") for name in self.scripts)


def report(folder, records, **options):
    return Reader(write_report(Results(folder, records, title="A <run> & more"), **options).read_text(encoding="utf-8"))


def test_tables_hold_means_and_deviations(tmp_path):
    records = make_run(tmp_path, seeds=(0, 1))
    records[-1] = replace(records[-1], error="gone", after={}, seconds=99.0)
    page = report(tmp_path, records)
    for degradation in DEGRADATIONS:
        means, rows = {}, {}
        for method in METHODS:
            cells = [r for r in records if (r.degradation, r.method) == (degradation, method) and r.error is None]
            values, seconds = [r.after["psnr"] for r in cells], [r.seconds for r in cells]
            means[method] = np.mean(values)
            rows[method] = [f"{np.mean(values):.2f} ± {np.std(values):.2f}", f"{np.median(seconds):.3g}"]
            rows[method] += [f"{max(r.memory_mb for r in cells):.0f}", "4" if len(cells) == 4 else "3 of 4"]
        # a method that lacks a cell is not called best
        whole = {method: mean for method, mean in means.items() if rows[method][-1] == "4"}
        for method, (figure, *rest) in rows.items():
            star = "*" if means[method] == max(whole.values()) else ""
            assert any(row[0] == method and row[1] == star + figure and row[4:] == rest for row in page.rows)
        before = {(r.image, r.seed): r.before["psnr"] for r in records if r.degradation == degradation}
        measured = f"{np.mean(list(before.values())):.2f} ± {np.std(list(before.values())):.2f}"
        assert any(row[0] == "measurement" and row[1] == measured for row in page.rows)
    assert "16 cells, 1 of them failed" in page.shown
    assert ["sharpen", "blur", "camera", "1", "gone"] in page.rows


def test_labels_and_errors_are_text(tmp_path):
    records = make_run(tmp_path)
    records[0] = replace(records[0], error=f"RuntimeError: {NASTY}", method="<img src=x onerror=alert(1)>")
    text = write_report(Results(tmp_path, records, title=NASTY)).read_text(encoding="utf-8")
    page = Reader(text)
    assert page.shown.count(NASTY) >= 4  # title, heading, a section, an error
    assert "<img" not in text and '<b>"0.1"' not in text
    assert page.data["degradations"] == list(DEGRADATIONS)
    assert {card["name"] for row in page.data["rows"].values() for card in row["cards"]} >= {records[0].method}
    report(tmp_path, [replace(records[1], image="a name of bytes \udcff", after={"psnr": float("inf")})])


def test_error_maps_are_those_of_the_files(tmp_path):
    records = make_run(tmp_path)
    page = report(tmp_path, records)
    row = page.data["rows"]["0/0/0"]
    assert (row["width"], row["height"]) == (48, 40)
    truth = read(tmp_path / "pictures/astronaut.png").x
    limit, ramp = float(row["limit"]), colours(base64.b64decode(page.data["ramp"].partition(";base64,")[2]))[0]
    for card, file in zip(row["cards"][1:], ("-0-0", "-0-0-0", "-0-1-0"), strict=True):
        error = (read(tmp_path / f"pictures/astronaut{file}.png").x - truth).abs().mean((0, 1)).numpy()
        shown = colours(page.picture(card["error"])[1]).astype(int)
        place = np.abs(shown[:, :, None] - ramp.astype(int)).sum(-1).argmin(-1) / (len(ramp) - 1)
        assert np.abs(place - np.minimum(error / limit, 1)).max() < 1 / 31
    assert page.picture(row["cards"][0]["picture"]) == (
        "data:image/png",
        (tmp_path / "pictures/astronaut.png").read_bytes(),
    )


def size(page):
    return sum(len(text) for name, text in page.scripts.items() if name.startswith("picture-"))


@pytest.mark.slow
def test_each_picture_is_in_once_and_all_within_the_budget(tmp_path):
    records = make_run(tmp_path)
    page = report(tmp_path, records)
    assert page.pictures == 2 + 4 + 8 + 4 + 8  # truths, measurements, restorations, error maps of both
    exact = size(page)
    assert "WebP" not in page.shown and "left out" not in page.scripts["data"]
    page = report(tmp_path, records, budget=exact - 1)
    assert page.pictures == 26 and "WebP" in page.shown
    rows = page.data["rows"].values()
    kinds = {page.picture(card["picture"])[0] for row in rows for card in row["cards"]}
    assert kinds == {"data:image/webp"}
    few = size(page) * 2 // 3
    page = report(tmp_path, records, budget=few)
    left = [row for row in page.data["rows"].values() if "left out" in json.dumps(row)]
    assert 0 < len(left) < 4 and f"the first {4 - len(left)} of 4 rows" in page.shown
    assert len(page.data["rows"]) == 4 and all(card["values"] for row in left for card in row["cards"][1:])
    assert size(page) <= few
    assert report(tmp_path, records, budget=1).pictures == 7  # the first row is there in any case


def test_lost_pictures_and_failed_cells_say_why(tmp_path):
    records = make_run(tmp_path)
    (tmp_path / "pictures/astronaut-0-0-0.png").unlink()
    (tmp_path / "pictures/camera-0-0.png").write_bytes((tmp_path / "pictures/camera.png").read_bytes()[:200])
    save(tmp_path, "pictures/camera-1-0-0.png", np.zeros((5, 6, 1)), 8)
    records[1] = replace(records[1], error="out of memory", pictures={})
    rows = report(tmp_path, records).data["rows"]
    cards = rows["0/0/0"]["cards"]
    assert cards[2]["picture"].startswith("pictures/astronaut-0-0-0.png does not exist")
    assert cards[3]["picture"] == "failed: out of memory" and cards[3]["values"] is not None
    assert "pictures/camera-0-0.png cannot be decoded" in rows["0/1/0"]["cards"][1]["picture"]
    assert rows["1/1/0"]["cards"][2]["error"] == "no error map of pictures of 6x5 and 48x40 pixels"
    assert str(tmp_path) not in json.dumps(rows)


def test_a_report_without_answers(tmp_path):
    failed = [replace(record, error="no", after={}, before={}, pictures={}, path=[]) for record in make_run(tmp_path)]
    for records in ([], failed):
        assert "No cell of this grid is finished" in report(tmp_path, records).shown
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "report.html"}  # nothing left aside


def test_the_mean_curve_is_that_of_the_interpolated_paths():
    rng = np.random.default_rng(0)
    paths = [sorted(zip(rng.uniform(0.01, 1, 9), rng.uniform(10, 30, 9), strict=True)) for _ in range(3)]
    ends, finals = [2.0, 4.0, 3.0], [31.0, 35.0, 30.0]
    records = [
        Record(str(i), "i", "d", "m", 0, after={"psnr": finals[i]}, seconds=ends[i], path=paths[i]) for i in range(3)
    ]
    curve = mean_curve([*records, replace(records[0], error="no")])
    assert curve.seconds[-1] == 3 and curve.values[-1] == pytest.approx(32)
    assert curve.seconds[0] == pytest.approx(max(3 * path[0][0] / end for path, end in zip(paths, ends, strict=True)))
    expected = np.zeros(len(curve.seconds))
    for path, end, final in zip(paths, ends, finals, strict=True):
        times, values = zip(*path, (end, final), strict=True)
        for i, now in enumerate(curve.seconds * end / 3):
            k = min(sum(time <= now * (1 + 1e-12) for time in times), len(times) - 1)
            part = np.log(now / times[k - 1]) / np.log(times[k] / times[k - 1])
            expected[i] += (values[k - 1] + part * (values[k] - values[k - 1])) / 3
    np.testing.assert_allclose(curve.values, expected, rtol=1e-9)
    assert mean_curve([]) is None
