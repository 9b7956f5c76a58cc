"""Numbers in JSON."""

from __future__ import annotations

import math
from typing import Any


def nulled(value: Any) -> Any:
    """Return a value with None in place of nan and infinities, which JSON lacks, at any depth.

    >>> nulled({"PSNR": math.inf, "all": (1.5, math.nan)})
    {'PSNR': None, 'all': [1.5, None]}
    """
    if isinstance(value, dict):
        return {key: nulled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [nulled(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
