"""A few bad inputs through every door; `make fuzz` takes thousands."""

from __future__ import annotations

import runpy

import pytest
import torch
from fuzz_all import fuzz
from fuzz_doors import ROOT
from fuzz_judge import ANSWERED, REFUSED, Table, judge, small_machine

from rgmkit.errors import ConfigError


def test_bad_inputs_are_answered_or_refused_in_one_line(tmp_path):
    table = Table()
    with small_machine(tmp_path):
        fuzz(table, tmp_path, count=150, number=0)
    assert table.faults == [] and len(table.counts) > 15
    assert all(set(counts) <= {ANSWERED, REFUSED} for counts in table.counts.values())


def refuse(text):
    raise ConfigError(text)


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (lambda given: 1 / 0, "traceback"),
        (lambda given: torch.tensor([1.0, torch.nan]), "nonsense"),
        (lambda given: exit(0), "traceback"),
        (lambda given: refuse(""), "bad message"),
        (lambda given: refuse("why"), REFUSED),
        (lambda given: torch.ones(600 * 2**20).sum(), "more than 2 GiB"),
        (lambda given: given, ANSWERED),
    ],
)
def test_faults_are_seen(act, outcome):
    table = Table()
    judge(table, "kind", torch.ones(1), act)
    assert table.counts["kind"] == {outcome: 1}
    assert [fault["outcome"] for fault in table.faults] == [outcome] * (outcome not in (ANSWERED, REFUSED))


def test_what_takes_too_long_is_seen(monkeypatch):
    monkeypatch.setattr("fuzz_judge.LONGEST", 0.1)
    table = Table()

    def wait(given):
        while True:
            pass

    judge(table, "kind", 1, wait)
    assert table.counts["kind"] == {"longer than 10 s": 1}


def test_the_page_of_the_results_is_current():
    made = runpy.run_path(str(ROOT / "docs/results/reliability.py"))
    assert made["PAGE"].read_text() == made["make_page"]()
