from __future__ import annotations

import contextlib
import io
import re

import pytest

from rgmkit import images
from rgmkit.cli.demo import main as demo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder, console = tmp_path_factory.mktemp("demo") / "new", io.StringIO()
    with contextlib.redirect_stdout(console):
        rows = demo.run(folder, digits=6)
    return folder, rows, console.getvalue()


def test_the_network_restores_what_total_variation_does_not(shown):
    _, rows, _ = shown
    assert len(rows) == 3
    for row in rows:
        assert row.network > row.before + 3 and row.tv > row.before and row.nfe <= 8
    assert all(row.network > row.tv for row in rows[1:])  # blur and super-resolution


def test_the_page_shows_every_figure_and_number(shown):
    folder, rows, text = shown
    page = (folder / "index.html").read_text(encoding="utf-8")
    figures = re.findall(r'src="(.*?)"', page)
    assert sorted(figures) == sorted(path.name for path in folder.iterdir() if path.name != "index.html")
    assert len(figures) == 5 and all(min(images.read(folder / name).x.shape[-2:]) > 300 for name in figures)
    assert "http" not in page  # it loads nothing
    measured, smooth, learned = map(
        float, re.search(r"measured (.*), total variation (.*), network (.*)", text).groups()
    )
    assert learned > smooth + 1 > measured + 1
    for row in rows:
        for number in (row.before, row.tv, row.network):
            assert f"<td>{number:.2f}" in page.replace(" class=best", "") and f"{number:.2f}" in text
    assert "PSNR in dB" in text and str(folder / "index.html") in text
