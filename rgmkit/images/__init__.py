"""Pictures in and out: `read`, `write`, and `make_sheet` for sheets of samples.

Names are imported when they are first used, so that the file formats are known before torch is loaded.
"""

from typing import Any

import lazy_loader

from rgmkit.deprecation import warn_renamed

_find, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "grid":
        warn_renamed("rgmkit.images.grid", "rgmkit.images.make_sheet")
        name = "make_sheet"
    return _find(name)
