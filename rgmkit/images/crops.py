"""Crops of a picture that has more pixels than are decoded at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

from torch import Tensor

from rgmkit.images.codecs.tiff_crops import TiffCrops, open_tiff_crops
from rgmkit.images.formats import choose_codec, load_codec
from rgmkit.images.limits import choose_limit
from rgmkit.images.picture import arrange, explain_failure

TILED = "or save it as TIFF in tiles, of 8 or 16 bits, grey or RGB, of which training decodes only what it crops"


@dataclass(frozen=True)
class Crops:
    """A picture of which only crops are read.

    Attributes:
        name: what error messages call it.
        height, width: in pixels, upright.
    """

    name: str
    height: int
    width: int
    _file: TiffCrops

    def read(self, top: int, left: int, height: int, width: int) -> Tensor:
        """Read what `rgmkit.images.read` gives there, without alpha: (C, height, width)."""
        with explain_failure(self.name):
            decoded = self._file.read(top, left, height, width)
        return arrange(decoded, name=self.name).x[0]


@contextmanager
def open_crops(
    file: IO[bytes], *, name: str, max_pixels: int | None = None, offset: int, size: int
) -> Iterator[Crops | None]:
    """Open a picture of more than `max_pixels`, to read crops of its first frame; None for any other.

    These are TIFF files, grey or RGB, in tiles or strips, or uncompressed.

    Args:
        file: the file.
        name: what error messages call the picture.
        max_pixels: as for `read`; a crop may not need more.
        offset, size: where the picture lies in the file, such as an archive.
    """
    file.seek(offset)
    if choose_codec(file.read(16)) is not load_codec("tiff"):
        yield None
        return
    with ExitStack() as stack:
        with explain_failure(name):
            opened = open_tiff_crops(file, choose_limit(max_pixels), offset=offset, size=size)
            found = stack.enter_context(opened)
        yield None if found is None else Crops(name, found.height, found.width, found)
