"""The range of values: which of them stand for 0 (black) and 1 (white)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from rgmkit.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Range: TypeAlias = tuple[float, float]

SENSOR_BITS = (8, 10, 12, 14)  # of values that are stored in 16 bits


def check_range(range: object) -> Range:
    """Return the range as two floats.

    Raises:
        ConfigError: unless it is two finite numbers, the smaller first.

    >>> check_range((0, 4095))
    (0.0, 4095.0)
    """
    try:
        low, high = (float(end) for end in range)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"range is {range!r}: give two finite numbers, those of black and white, such as (0, 4095)")
    return low, high


def describe(range: Range) -> str:
    """Describe a range in a message.

    >>> describe((0.0, 4095.0))
    '0 … 4095'
    """
    return " … ".join(f"{end:.7g}" for end in range)


def note_depth(x: Tensor, name: str) -> tuple[str, ...]:
    """Return a note if whole numbers of 16 bits seem to come from a sensor of fewer bits.

    >>> import torch
    >>> note_depth(torch.tensor([3, 4000]).to(torch.uint16), "y")
    ('y holds values up to 4000 of 65535; if it has 12 bits, give its range, 0,4095',)
    """
    if str(x.dtype) != "torch.uint16":
        return ()
    largest = int(x.int().max())
    bits = next((bits for bits in SENSOR_BITS if largest < 2**bits), None)
    if bits is None or largest == 0:
        return ()
    return (f"{name} holds values up to {largest} of 65535; if it has {bits} bits, give its range, 0,{2**bits - 1}",)
