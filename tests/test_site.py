"""The documentation site: it builds without a warning, is complete, and loads nothing from elsewhere."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import rgmkit
from rgmkit import plugins
from rgmkit.config import options_of

pytest.importorskip("mkdocstrings_handlers.python", reason="needs pip install 'rgmkit[docs]'")
pytest.importorskip("material", reason="needs pip install 'rgmkit[docs]'")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("source", "srcset"), ("iframe", "src")}


class Page(HTMLParser):
    """The links, the loaded files and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        self.loaded += [value for key, value in attrs if (tag, key) in LOADED and value]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}


def is_elsewhere(address: str) -> bool:
    return bool(re.match(r"(\w+:)?//|mailto:", address))


def test_every_link_leads_to_a_page_and_an_anchor(site, pages):
    dead = []
    for path, page in pages.items():
        base = site if path.name == "404.html" else path.parent
        for link in page.links + page.loaded:
            target, _, anchor = link.partition("#")
            if is_elsewhere(link) or link.startswith("data:"):
                continue
            file = (base / unquote(target).lstrip("/")).resolve() if target else path
            file = file / "index.html" if file.is_dir() else file
            if not file.exists() or (anchor and file in pages and unquote(anchor) not in pages[file].anchors):
                dead.append((path.name, link))
    assert not dead


def test_the_search_prefers_answers_to_sources(site):
    entries = json.loads((site / "search" / "search_index.json").read_text("utf-8"))["docs"]
    weights = {entry["location"].partition("#")[0]: entry.get("boost", 1) for entry in entries}
    of = {
        start: {w for page, w in weights.items() if page.startswith(start)}
        for start in ("faq", "mri", "results/", "source/")
    }
    assert min(of["faq"]) > max(of["mri"]) > max(of["results/"]) > max(of["source/"])


def test_nothing_is_loaded_from_elsewhere(site, pages):
    assert not [(path.name, item) for path, page in pages.items() for item in page.loaded if is_elsewhere(item)]
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", styles)


def test_every_component_and_option_is_in_the_reference(site):
    for component in plugins.list_components():
        if component.distribution != "rgmkit":
            continue
        text = (site / f"reference/{component.kind}.html").read_text("utf-8")
        (section,) = re.findall(rf'<h2 id="{component.name.lower().replace(".", "")}">.*?(?=<h2|$)', text, re.DOTALL)
        for option in options_of(plugins.load_class(component.kind, component.name)):
            assert f"<code>{option}</code></td>" in section, (component.name, option)


def test_every_public_name_and_yaml_key_is_in_the_reference(site):
    from rgmkit.experiments.config import GridSchema, TuningSchema
    from rgmkit.experiments.methods import MethodSchema
    from rgmkit.experiments.photographs import Photographs
    from rgmkit.training.configuration import KEYS
    from rgmkit.training.settings import TrainingSettings

    names = (site / "reference/api.html").read_text("utf-8")
    assert not [name for name in rgmkit.__all__ if f"rgmkit.{name}" not in names]
    text = (site / "reference/configuration.html").read_text("utf-8")
    schemas = (TrainingSettings, GridSchema, TuningSchema, MethodSchema, Photographs)
    keys = [*KEYS, *(field.name for schema in schemas for field in dataclasses.fields(schema))]
    assert not [key for key in keys if f"<code>{key}</code></td>" not in text]


def test_every_example_is_in_the_gallery(site):
    index = (site / "gallery/index.html").read_text("utf-8")
    for script in (ROOT / "examples").glob("*.py"):
        assert f'href="{script.stem}.html"' in index
        printed = (ROOT / f"docs/gallery/{script.stem}.txt").read_text("utf-8").splitlines()
        assert printed, f"run docs/_site/run_examples.py {script.stem}"


def test_equations_are_drawn_without_a_script(site):
    assert not [path for path in site.rglob("*.html") if "arithmatex" in path.read_text("utf-8")]


def test_pictures_are_small():
    pictures = [path for path in ROOT.glob("docs/**/*") if path.suffix in (".webp", ".png")]
    assert pictures and not [path.name for path in pictures if path.stat().st_size > 160_000]


def test_a_bar_in_code_has_no_backslash(site):
    assert not [
        path.name for path in site.rglob("*.html") if re.search(r"<td>[^\n]*<code>[^<\n]*\\\|", path.read_text())
    ]
