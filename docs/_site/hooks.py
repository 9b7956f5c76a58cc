"""What MkDocs calls while it builds the site: pages that are made from the code, links, and equations."""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path
from typing import Any

import gallery
import reference
from equations import to_mathml
from links import DOCS, ROOT, page_of, redirect, show
from mkdocs.structure.files import File, Files

CARDS = DOCS / "_site" / "cards.txt"
FILE_AS_TEXT = re.compile(r"\[[\w/-]+\.md\]\(([^)\s:]+\.md[^)\s]*)\)")
TITLE = re.compile(r"^# (.*)$", re.MULTILINE)
CELL_CODE = re.compile(r"(?<=[ (])`[^`\n]*\\\|[^`\n]*`")  # GitHub needs the backslash, Python-Markdown shows it
WEIGHTS = {
    "source/": 0.1,
    "project/": 0.3,
    "results/": 0.3,
    "gallery/": 0.5,
    "faq.md": 3.0,
    "choose.md": 2.0,
    "tutorials/": 2.0,
}
HEAD = "---\nhide: [navigation]\n---\n\n"
logging.getLogger("mkdocs.plugins.griffe").setLevel(logging.ERROR)  # it asks for types in the docstrings


def on_files(files: Files, config: Any) -> Files:
    """Add the home page, the reference, the gallery, and the files to which pages link."""
    warnings.simplefilter("ignore")
    made = {"index.md": _make_home()} | reference.make_pages() | gallery.make_pages()
    texts = {file.src_uri: file.content_string for file in files.documentation_pages()}
    made |= _follow_links(texts, {"index.md": made["index.md"]})
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead the links of a written page to the pages of the site, and weigh it in the search."""
    source = page.file.abs_src_path
    text = markdown
    weight = next((weight for start, weight in WEIGHTS.items() if page.file.src_uri.startswith(start)), 1.0)
    page.meta["search"] = {"boost": weight}
    if source:
        named = FILE_AS_TEXT.sub(lambda match: _name_page(match, Path(source)), markdown)
        text = redirect(named, Path(source), page.file.src_uri)[0]
    return CELL_CODE.sub(lambda match: match[0].replace(r"\|", "|"), text)


def _name_page(link: re.Match[str], source: Path) -> str:
    """Replace the name of a file, as the text of a link, by the title of its page."""
    title = TITLE.search((source.parent / link[1].partition("#")[0]).read_text("utf-8"))
    return f"[{title[1]}]({link[1]})" if title else link[0]


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Set the equations."""
    return to_mathml(html)


def _make_home() -> str:
    """Return the README, with the parts of the site after its first commands."""
    readme = ROOT / "README.md"
    head, _, rest = readme.read_text("utf-8").partition("\n## Install")
    text = redirect(f"{head}\n\n## Install{rest}", readme, "index.md")[0]
    return HEAD + text.replace("## Install", f"{CARDS.read_text('utf-8')}\n## Install", 1)


def _follow_links(texts: dict[str, str], made: dict[str, str]) -> dict[str, str]:
    """Make the pages of all files outside docs/ that pages link to, and those link to in turn."""
    todo = {path for name, text in texts.items() for path in redirect(text, DOCS / name, name)[1]}
    todo |= redirect((ROOT / "README.md").read_text("utf-8"), ROOT / "README.md", "index.md")[1]
    todo |= {ROOT / "CHANGELOG.md"}
    pages: dict[str, str] = dict(made)
    while todo:
        path = todo.pop()
        name = page_of(path)
        if name in pages or name.startswith("gallery/"):
            continue
        pages[name], more = show(path, name)
        todo |= more
    return pages
