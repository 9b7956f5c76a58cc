"""Docstrings in Markdown, and tables of the options that they describe."""

from __future__ import annotations

import re
import textwrap

SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)
ENTRY = re.compile(r"^([\w, ]+?)(?: \([^)]*\))?: ")


def split(docstring: str) -> tuple[str, dict[str, str]]:
    """Split a docstring into its text and the meanings of its arguments or attributes by name."""
    text, *sections = SECTION.split(docstring.split(">>>")[0])
    meanings: dict[str, str] = {}
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        block, rest = _take_indented(body)
        text += f"\n{rest}"
        if title in ("Args", "Attributes"):
            meanings |= _read_entries(block)
    return re.sub(r"\n{3,}", "\n\n", text).strip(), meanings


def _take_indented(body: str) -> tuple[str, str]:
    lines = body.strip("\n").splitlines()
    count = next((i for i, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return textwrap.dedent("\n".join(lines[:count])), "\n".join(lines[count:])


def _read_entries(block: str) -> dict[str, str]:
    entries = re.split(r"\n(?=\S)", block)
    found: dict[str, str] = {}
    for entry in entries:
        if match := ENTRY.match(entry):
            meaning = " ".join(entry[match.end() :].split())
            found |= {name.strip(): meaning for name in match[1].split(",")}
    return found


def to_markdown(text: str) -> str:
    """Escape what Markdown would take for a link or emphasis, but `**`; set lists apart from the text before them."""
    text = re.sub(r"(?m)^(?![-*] | {2,}|$)(.*)\n(?=[-*] )", r"\1\n\n", text)
    return "\n".join(line if line.startswith("    ") else _escape(line) for line in text.splitlines())


def _escape(line: str) -> str:
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if part.startswith("`") else escape_inline(part) for part in parts)


def escape_inline(text: str) -> str:
    """Escape the characters by which Markdown marks emphasis, links, tags and cells."""
    return re.sub(r"([_\[\]<|$]|(?<!\*)\*(?!\*))", r"\\\1", text)


def cell(text: str) -> str:
    """Write a text with code in backticks into a cell of a table."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part.replace("|", r"\|") if part.startswith("`") else escape_inline(part) for part in parts)
