"""The documentation: its links lead somewhere, its commands exist, and the README keeps its length."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import click
import pytest

from rgmkit.cli.app import cli

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
CODE = re.compile(r"```\w*\n.*?```|^ {4}[^\n]*$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^ *(?:python -m )?(rgmkit [a-z].*?)(?:  +#.*)?$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def commands() -> list[str]:
    """The commands in the code blocks of all pages but the reference, which is made from the commands."""
    blocks = [
        code for page in PAGES if page.name != "command-line.md" for code in CODE.findall(page.read_text("utf-8"))
    ]
    return sorted({line for block in blocks for line in COMMAND.findall(block)})


@pytest.mark.parametrize("line", commands())
def test_commands_and_their_options_exist(line):
    command: click.Command = cli
    words = shlex.split(line.rstrip("\\"))[1:]
    context = click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words.pop(0))
        assert found, line
        command = found
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if re.match(r"--?[a-z]", word)} <= options | {"--help"}


def test_examples_in_python_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False)
    assert ran.attempted > 10 and not ran.failed


def test_scripts_and_targets_of_make_exist():
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    scripts = set(re.findall(r"python (\w+/[\w/]+\.py)", text))
    assert scripts and not [script for script in scripts if not (ROOT / script).exists()]
    targets = set(re.findall(r"^ *make (\w+)", text, re.MULTILINE))
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert targets and targets <= set(rules)


def test_readme_fits_on_two_screens():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 100


@pytest.mark.slow
def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    from PIL import Image

    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    with Image.open(ROOT / "docs" / "images" / "astronaut-blurred.png") as picture:
        picture.crop((0, 0, 32, 32)).save(tmp_path / "blurred.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)  # our own
    assert Image.open("restored.png").size == (32, 32) and names["digits"].shape == (100, 1, 16, 16)
