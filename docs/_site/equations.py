"""Equations as MathML, made when the site is built: browsers draw it without a script."""

from __future__ import annotations

import html
import re

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
TAG = re.compile(r"\\tag\{([^}]*)\}")


def to_mathml(page: str) -> str:
    r"""Replace the equations that arithmatex marked; `\tag{7}` puts (7) beside one."""
    page = BLOCK.sub(lambda match: _set_apart(html.unescape(match[1])), page)
    return INLINE.sub(lambda match: _convert(html.unescape(match[1]), "inline"), page)


def _set_apart(latex: str) -> str:
    tag = TAG.search(latex)
    number = f'<span class="equation-number">({tag[1]})</span>' if tag else ""
    return f'<div class="equation">{_convert(TAG.sub("", latex), "block")}{number}</div>'


def _convert(latex: str, display: str) -> str:
    from latex2mathml.converter import convert

    return convert(latex.strip(), display=display)
