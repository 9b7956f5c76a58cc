"""What is drawn as a mutant, and which tests meet it."""

from __future__ import annotations

from mutants import choose_tests
from mutants_draw import draw_mutants

SOURCE = '''"""A module."""
from typing import Literal

__all__ = ["f"]

def f(x: Literal[1], y=2):
    """Return one."""
    assert x
    if len(x) > 3:
        raise ValueError(4, f"no {x + 5}")
    return sorted(x, key=6)
'''


def test_only_what_has_an_effect_is_changed(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part/a.py").write_text(SOURCE)
    drawn = draw_mutants(tmp_path, ["part"], 100, 0)
    assert {(mutant.first, mutant.old, mutant.new) for mutant in drawn} == {
        (6, "2", "3"),
        (9, "> 3", ">= 3"),
        (9, "3", "4"),
        (11, "6", "7"),
        (11, "sorted(x, key=6)", "sorted(x, key=None)"),
        (11, "sorted(x, key=6)", "sorted(None, key=6)"),
        (11, "sorted(x, key=6)", "sorted(key=6)"),
        (11, "sorted(x, key=6)", "sorted(x, )"),
    }
    assert next(mutant.text for mutant in drawn if mutant.first == 6) == SOURCE.replace("y=2", "y=3")
    assert draw_mutants(tmp_path, ["part"], 3, 1) == draw_mutants(tmp_path, ["part"], 100, 1)[:3]


def test_one_case_of_each_test_comes_before_the_second():
    seconds = {"a.py::t[0]": 1.0, "a.py::t[1]": 1.1, "a.py::u": 1.5, "a.py::slow": 3.0, "a.py::v": 1.9}
    assert choose_tests(seconds, seconds, slow=False) == ["a.py::t[0]", "a.py::u", "a.py::v", "a.py::t[1]"]
    assert set(choose_tests(seconds, seconds, slow=True)) == set(seconds)
