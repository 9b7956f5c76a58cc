"""Damaged files of a run: one line that names the file, and a run that goes on computes the cell again."""

from __future__ import annotations

import json
import math

import pytest

from rgmkit.errors import DataError
from rgmkit.experiments.result import Record
from rgmkit.experiments.run_folder import read_facts, read_record

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
