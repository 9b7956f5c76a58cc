"""Options for the values and the axes of pictures, which commands share."""

from __future__ import annotations

from typing import Any

import click

from rgmkit.errors import RgmkitError
from rgmkit.images.axes import MEANING, check_axes
from rgmkit.images.value_range import check_range


class RangeType(click.ParamType):
    """Two numbers, `LOW,HIGH`."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Convert the text to two floats."""
        try:
            return check_range(value if isinstance(value, tuple) else tuple(value.split(",")))
        except RgmkitError:
            self.fail(f"{value!r}: give two numbers, those of black and white, such as 0,4095", param, ctx)


class AxesType(click.ParamType):
    """A letter for each axis."""

    name = "axes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the letters."""
        try:
            return check_axes(value)
        except RgmkitError:
            self.fail(f"{value!r}: give one letter for each axis, Y and X among them ({MEANING})", param, ctx)


value_range = click.option(
    "--range",
    "value_range",
    metavar="LOW,HIGH",
    type=RangeType(),
    help="The values that black and white have in the files, such as 0,4095. [default: 0 and the largest of 8 or 16 "
    "bits; 0,1 for floats]",
)
axes = click.option(
    "--axes",
    metavar="LETTERS",
    type=AxesType(),
    help=f"A letter for each axis of the array in IMAGE, such as ZYX: {MEANING}. [default: as the file says]",
)
