"""The gallery: each script of examples/ with its picture, what it prints, and its code."""

from __future__ import annotations

import ast
import html
from pathlib import Path

from links import DOCS, ROOT

RUNS = DOCS / "gallery"


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
        shown = f"![]({picture.name}){{ loading=lazy }}" if picture else _quote(script)
        lines = [f"[{shown}<span>{_summarise(script)}</span>]({script.stem}.md)"]
        cards.append(f'<div class="card" markdown>\n{"".join(lines)}\n</div>')
    head = "# Gallery\n\nEach script runs by itself in less than a minute or two, from any folder.\n"
    return f'{head}\n<div class="cards" markdown>\n\n' + "\n\n".join(cards) + "\n\n</div>\n"
