"""The notebook: its cells run one after the other, and what they show is shown."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import rgmkit
from rgmkit.core.solver import Solution

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]


def run_cell(source: str, names: dict[str, object]) -> object:
    """Run a cell as a notebook does, and return the value of its last line."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) and not source.endswith(";") else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)  # our own
    return None if last is None else eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


@pytest.mark.slow
def test_each_cell_runs_and_shows_something(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "imshow", lambda image, **options: shown.append(image))
    names: dict[str, object] = {}
    shown: list[object] = []
    for cell in CELLS:
        if cell["cell_type"] == "code":
            source, before = "".join(cell["source"]), len(shown)
            value = run_cell(source, names)
            printed = capsys.readouterr().out
            assert value is not None or printed or len(shown) > before, f"this cell shows nothing: {source}"
            assert "object at 0x" not in f"{value!r}{printed}", source
            if isinstance(value, Solution):
                assert "<img" in value._repr_html_()
            shown.append(value)
    kinds = (rgmkit.Degradation, rgmkit.Prior, rgmkit.ForwardProcess, Solution)
    assert all(any(isinstance(value, kind) for value in shown) for kind in kinds)
    assert names["psnr"](names["better"].x, names["x"]) > names["psnr"](names["y"], names["x"]) + 2


def test_no_output_is_committed():
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in CELLS)
