"""Links from pages to files of the repository outside docs/: each such file gets a page of its own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".md": "markdown", ".cff": "yaml"}


def page_of(path: Path) -> str:
    """Return the page, relative to docs/, that shows a file or folder of the repository."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    if path == ROOT / "README.md":
        return "index.md"
    if path.parent == ROOT / "examples" and path.suffix == ".py":
        return f"gallery/{path.stem}.md"
    if path.parent == ROOT and path.suffix == ".md":
        return f"project/{path.stem.lower()}.md"
    return f"source/{path.relative_to(ROOT).as_posix()}.md"


def redirect(markdown: str, origin: Path, page: str) -> tuple[str, set[Path]]:
    """Turn the relative links of a file of the repository into links between pages of the site.

    Args:
        markdown: the text.
        origin: the file that the links are relative to.
        page: where the text is shown, relative to docs/.

    Returns:
        The text, and the files outside docs/ to which it links.
    """
    outside: set[Path] = set()

    def replace(match: re.Match[str]) -> str:
        start, target, end = match.groups()
        path = Path(os.path.normpath(origin.parent / target))
        if "://" in target or target.startswith("mailto:") or not path.exists():
            return match.group()
        if not path.is_relative_to(DOCS):
            outside.add(path)
        if path.is_dir() and path.is_relative_to(DOCS):
            path = path / "README.md"
        return start + os.path.relpath(page_of(path), PurePosixPath(page).parent) + end

    return LINK.sub(replace, markdown), outside


def show(path: Path, page: str) -> tuple[str, set[Path]]:
    """Write the page of a file or folder outside docs/, and return the files to which it links in turn."""
    if path.is_dir():
        return _show_folder(path, page)
    if path.suffix == ".md":
        return redirect(path.read_text("utf-8"), path, page)
    if path.suffix == ".ipynb":
        return redirect(_join_cells(path), path, page)
    return f"# {path.relative_to(ROOT).as_posix()}\n\n{_quote(path)}", set()


def _show_folder(folder: Path, page: str) -> tuple[str, set[Path]]:
    readme = folder / "README.md"
    text, links = f"# {folder.relative_to(ROOT).as_posix()}\n", set()
    if readme.exists():
        text, links = redirect(readme.read_text("utf-8"), readme, page)
    files = sorted(path for path in folder.rglob("*") if path.suffix in LANGUAGES and path != readme)
    parts = [f"## {path.relative_to(folder).as_posix()}\n\n{_quote(path)}" for path in files]
    return "\n\n".join([text, *parts]), links - set(files)


def _join_cells(notebook: Path) -> str:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    parts = [("".join(cell["source"]), cell["cell_type"] == "code") for cell in cells]
    return "\n\n".join(f"```python\n{source}\n```" if is_code else source for source, is_code in parts)


def _quote(path: Path) -> str:
    return f"````{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text('utf-8').rstrip()}\n````\n"
