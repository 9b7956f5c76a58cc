from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))
PROMISED = ["custom_operator.py", "deblur_tv_pgd.py", "generate_rgm_cascade.py", "superresolve_rgm_drs.py"]


GALLERY = EXAMPLES.parent / "docs/gallery"


def split_numbers(text):
    """What a script prints, without seconds: the words, and the numbers."""
    text = re.sub(r" in [\d.]+ s\b", "", text).replace("\\", "/")
    number = r"[-+]?\d+(?:\.\d+)?"
    return re.sub(number, "#", text).split(), [float(found) for found in re.findall(number, text)]


def files():
    return {path for path in EXAMPLES.rglob("*") if "__pycache__" not in path.parts}


def test_the_promised_scripts_are_there():
    assert set(PROMISED) <= set(SCRIPTS)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_short_and_runs_in_any_folder(script, tmp_path, monkeypatch, capsys):
    assert len((EXAMPLES / script).read_text().splitlines()) < 40
    before = files()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr("sys.argv", [script])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    made = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 0]
    printed = capsys.readouterr().out
    assert made or printed.strip(), "it shows nothing"
    words, numbers = split_numbers(printed)
    shown, expected = split_numbers((GALLERY / script).with_suffix(".txt").read_text("utf-8"))
    assert words == shown and numbers == pytest.approx(expected, rel=0.03), (
        f"run docs/_site/run_examples.py {Path(script).stem}"
    )
    assert files() == before, "it writes beside itself"
