"""The gallery: each script of examples/ with its picture, what it prints, and its code."""

from __future__ import annotations

import ast
import html
from pathlib import Path

from links import DOCS, ROOT

RUNS = DOCS / "gallery"
GUIDES = {
    "../choose.md": ("choose.webp", "Four problems restored with four priors"),
    "../uncertainty.md": ("uncertainty.webp", "Draws of the posterior and their spread"),
    "../photographs.md#borders": ("borders.png", "What lies beyond the border of a photograph"),
    "../raw.md": ("raw.png", "A raw picture of a sensor, demosaiced and denoised"),
    "../experiments.md": ("report.png", "The report of a grid of methods and degradations"),
    "../explanation/mathematics.md#generation": ("chain.webp", "A digit is generated from noise"),
    "../source/examples/notebook.ipynb.md": ("digits.webp", "A tour as a notebook"),
}
"""Pictures of the guides: the page, the file in docs/images, and what it shows."""


HEAD = """# Gallery

## Scripts

Each of these scripts runs by itself in less than a minute or two, from any folder.
"""


def list_examples() -> list[Path]:
    """List the scripts."""
    return sorted((ROOT / "examples").glob("*.py"))


def make_pages() -> dict[str, str]:
    """Write the page of each script, and the index with their pictures."""
    pages = {f"gallery/{script.stem}.md": _describe(script) for script in list_examples()}
    return pages | {"gallery/index.md": _index()}


def _summarise(script: Path) -> str:
    docstring = ast.get_docstring(ast.parse(script.read_text("utf-8"))) or script.stem
    return docstring.splitlines()[0].rstrip(".")


def _find_picture(script: Path) -> Path | None:
    return next(iter(sorted(RUNS.glob(f"{script.stem}.webp"))), None)


def _describe(script: Path) -> str:
    picture = _find_picture(script)
    parts = [f"# {_summarise(script)}"]
    if picture:
        parts.append(f"![What {script.name} draws]({picture.name})")
    parts += [
        f"    python examples/{script.name}",
        f"```text\n{(RUNS / f'{script.stem}.txt').read_text('utf-8').rstrip()}\n```",
        f"```python\n{script.read_text('utf-8').rstrip()}\n```\n",
    ]
    return "\n\n".join(parts)


def _quote(script: Path) -> str:
    """Show what a script without a picture prints, in a card."""
    printed = (RUNS / f"{script.stem}.txt").read_text("utf-8").strip()
    return f'<span class="printed">{html.escape(printed)}</span>'.replace("\n", "<br>")


def _index() -> str:
    cards = []
    for script in list_examples():
        picture = _find_picture(script)
        shown = _show(picture.name) if picture else _quote(script)
        cards.append(_make_card(shown, _summarise(script), f"{script.stem}.md"))
    guides = [_make_card(_show(f"../images/{name}"), text, page) for page, (name, text) in GUIDES.items()]
    return "\n".join([HEAD, _join(cards), "## From the guides\n", _join(guides)])


def _show(picture: str) -> str:
    return f"![]({picture}){{ loading=lazy }}"


def _make_card(shown: str, text: str, page: str) -> str:
    return f'<div class="card" markdown>\n[{shown}<span>{text}</span>]({page})\n</div>'


def _join(cards: list[str]) -> str:
    return '<div class="cards" markdown>\n\n' + "\n\n".join(cards) + "\n\n</div>\n"
