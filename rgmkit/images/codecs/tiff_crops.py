"""Crops of a TIFF that is too large to be decoded: only the tiles or strips under a crop are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy as np

from rgmkit.errors import DataError
from rgmkit.images.codecs import Decoded, tiff
from rgmkit.images.limits import TooLargeError, check_pixels


@contextmanager
def open_tiff_crops(file: IO[bytes], limit: int, *, offset: int, size: int) -> Iterator[TiffCrops | None]:
    """Open a TIFF of more pixels than the limit, to read crops of its first frame; None for any other."""
    from tifffile import TiffFile

    with TiffFile(file, name="a.tif", offset=offset, size=size) as opened:  # a temporary file has none
        file.seek(offset)
        tiff.refuse_raw(file.read(10), opened.pages[0])
        yield _make_crops(opened, limit)


def _make_crops(file: Any, limit: int) -> TiffCrops | None:
    series: Any = file.series[0]
    page, samples = series.keyframe, series.keyframe.samplesperpixel
    with suppress(TooLargeError):
        check_pixels(limit, math.prod(series.shape) // samples, samples=samples)
        return None  # it can be decoded as a whole
    if not _is_covered(series, page):
        return None
    crops = TiffCrops(file, page, limit)
    try:
        crops.read(0, 0, 1, 1)
    except Exception as error:  # of a decoder that is missing, or one strip is too large
        if isinstance(error, DataError) and not isinstance(error, TooLargeError):
            raise
        return None
    return crops


def _is_covered(series: Any, page: Any) -> bool:
    """Whether the first frame is one page of plain values, which mean the same whatever the others are."""
    spread = "C" in series.axes and "S" not in page.axes  # the channels of an image are pages of their own
    one_page = page is series.pages[0] and page.imagedepth == 1 and series.axes.endswith(page.axes) and not spread
    bits, tables = page.bitspersample, page.jpegtables is not None or page.jpegheader is not None
    if not one_page or page.axes not in ("YX", "YXS", "SYX") or bits is None or bits < 8 or tables:
        return False
    # Whether a white of fewer bits is believed depends on all values.
    return tiff.read_photometric(page) in tiff.PLAIN and (bits != 16 or tiff.read_white(page) is None)


class TiffCrops:
    """Crops of the first frame of a TIFF; only the tiles or strips under a crop are decoded.

    Attributes:
        height, width: of the upright frame.
    """

    def __init__(self, file: Any, page: Any, limit: int) -> None:
        self.file, self.page, self.limit = file, page, limit
        self.orientation = tiff.read_orientation(page)[0] or 1
        sides = page.imagelength, page.imagewidth
        self.height, self.width = sides[::-1] if self.orientation >= 5 else sides

    def read(self, top: int, left: int, height: int, width: int) -> Decoded:
        """Read the crop, upright, whose first pixel is at (top, left)."""
        if self.orientation in (2, 3, 6, 7):
            left = self.width - left - width
        if self.orientation in (3, 4, 7, 8):
            top = self.height - top - height
        window = (left, top, width, height) if self.orientation >= 5 else (top, left, height, width)
        array = self._read_mapped(*window) if self._is_plain() else self._read_segments(*window)
        inside = {"YX": array[0, 0, ..., 0], "YXS": array[0, 0], "SYX": array[:, 0, ..., 0]}
        return tiff.describe(self.file, self.page, inside[self.page.axes], self.page.axes)

    def _is_plain(self) -> bool:
        """Whether the values lie in the file one after the other."""
        page = self.page
        return page.is_contiguous and page.predictor == 1 and page.fillorder == 1 and self.file.filehandle.is_file

    def _read_mapped(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Return a window, (planes, 1, height, width, samples), of a memory map."""
        page = self.page
        dtype = page.dtype.newbyteorder(self.file.byteorder)
        whole = self.file.filehandle.memmap_array(dtype, page.shaped, offset=page.dataoffsets[0])
        return np.array(whole[:, :, top : top + height, left : left + width], page.dtype)

    def _read_segments(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Return a window, (planes, 1, height, width, samples), of the tiles or strips under it."""
        page, file = self.page, self.file.filehandle
        planes, _, rows, columns, samples = page.shaped
        sides = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, rows), columns)
        down, right = math.ceil(rows / sides[0]), math.ceil(columns / sides[1])
        ys = range(top // sides[0], (top + height - 1) // sides[0] + 1)
        xs = range(left // sides[1], (left + width - 1) // sides[1] + 1)
        check_pixels(self.limit, len(ys) * sides[0], len(xs) * sides[1], samples=planes * samples)
        window = np.zeros((planes, 1, height, width, samples), page.dtype)
        for plane, y, x in itertools.product(range(planes), ys, xs):
            index = (plane * down + y) * right + x
            offset, count = page.dataoffsets[index], page.databytecounts[index]
            tiff.check_expansion(self.file, page, offset, count, math.prod(sides) * samples * page.dtype.itemsize)
            file.seek(offset)
            data = file.read(count) or None
            segment, (_, _, first, start, _), (_, length, breadth, _) = page.decode(data, index)
            y0, y1 = max(first, top), min(first + length, top + height)
            x0, x1 = max(start, left), min(start + breadth, left + width)
            part = page.nodata if segment is None else segment[0, y0 - first : y1 - first, x0 - start : x1 - start]
            window[plane, 0, y0 - top : y1 - top, x0 - left : x1 - left] = part
        return window
