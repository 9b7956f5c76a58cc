"""Pictures in and out: `read`, `write`, and `make_sheet` for sheets of samples.

Names are imported when they are first used, so that the file formats are known before torch is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rgmkit.deprecation import warn_renamed

if TYPE_CHECKING:
    from rgmkit.images.formats import check_target
    from rgmkit.images.measurements import is_picture, read_measurement, write_measurement
    from rgmkit.images.picture import Picture
    from rgmkit.images.reading import decode, read
    from rgmkit.images.sheet import make_sheet
    from rgmkit.images.writing import Written, write

__all__ = [
    "Picture", "Written", "check_target", "decode", "is_picture", "make_sheet", "read", "read_measurement", "write",
    "write_measurement",
]  # fmt: skip

_MODULE_OF = {
    "Picture": "picture",
    "Written": "writing",
    "check_target": "formats",
    "decode": "reading",
    "is_picture": "measurements",
    "make_sheet": "sheet",
    "read": "reading",
    "read_measurement": "measurements",
    "write": "writing",
    "write_measurement": "measurements",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "grid":
        warn_renamed("rgmkit.images.grid", "rgmkit.images.make_sheet")
        name = "make_sheet"
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: Any = getattr(importlib.import_module(f"rgmkit.images.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
