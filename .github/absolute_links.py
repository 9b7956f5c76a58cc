"""Lead the relative links of the README to a server, for PyPI: `absolute_links.py OWNER/REPOSITORY TAG`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?:|#)(?P<target>[^)\s]+)\)")


def lead_links(text: str, repository: str, tag: str) -> str:
    """Return Markdown with absolute links: pictures themselves, and pages that show the other files."""
    sites = {
        "!": f"https://raw.githubusercontent.com/{repository}/{tag}/",
        "": f"https://github.com/{repository}/blob/{tag}/",
    }
    return LINK.sub(lambda m: f"{m['image']}[{m['text']}]({sites[m['image']]}{m['target']})", text)


if __name__ == "__main__":
    readme = Path("README.md")
    readme.write_text(lead_links(readme.read_text("utf-8"), *sys.argv[1:]), "utf-8")
