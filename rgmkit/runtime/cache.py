"""Results that are kept between runs, under a key that is a hash of all they depend on."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "RGMKIT_CACHE"


def cache_folder() -> Path:
    """Return the folder of cached results: $RGMKIT_CACHE, or `rgmkit` in the user's folder for caches.

    It can be deleted at any time.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rgmkit"
