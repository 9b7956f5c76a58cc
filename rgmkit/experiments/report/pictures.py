"""The pictures of one row of the gallery: photographs as stored, and maps of their errors."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rgmkit.errors import DataError
from rgmkit.experiments.result import Record
from rgmkit.images import read

STEPS = 32  # colours of an error map: more cannot be told apart, and cost bytes
QUANTILE = 0.995  # of the errors; the colour scale ends here, so that a few outliers do not darken the maps


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph: its file's bytes and its values (H, W, C) in [0, 1]."""

    png: bytes
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class GalleryRow:
    """One image under one degradation with one seed; in place of a missing picture stands the reason.

    Attributes:
        photos: "truth", "measured", and the restorations by the keys of their records.
        errors: PNG bytes of maps of |photo - truth|, by the same names.
        limit: the error at the upper end of their colour scale.
    """

    photos: dict[str, Photo | str]
    errors: dict[str, bytes | str]
    limit: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures; (4, 3) if there are none."""
        for photo in self.photos.values():
            if isinstance(photo, Photo):
                return photo.values.shape[1], photo.values.shape[0]
        return 4, 3

    @staticmethod
    def load(folder: Path, records: Sequence[Record]) -> GalleryRow:
        """Load the pictures of all methods for one image, degradation and seed."""
        photos: dict[str, Photo | str] = {}
        for name in ("truth", "measured"):  # shared by the cells of a row: take the first that has one
            photos[name] = _load(folder, next((r for r in records if name in r.pictures), records[0]), name)
        for record in records:
            photos[record.key] = _load(folder, record, "restored") if record.error is None else record.gap
        errors = {name: _error(photo, photos["truth"]) for name, photo in photos.items() if name != "truth"}
        limit = _choose_limit(errors)
        maps = {
            name: error if isinstance(error, str) else draw_error_map(error / limit) for name, error in errors.items()
        }
        return GalleryRow(photos, maps, limit)


def draw_error_map(parts: np.ndarray) -> bytes:
    """Draw values (H, W) as a PNG, dark for 0 and light from 1 on."""
    from matplotlib import colormaps

    colours = (colormaps["magma"](np.linspace(0, 1, STEPS))[:, :3] * 255).round().astype(np.uint8)
    image = Image.fromarray((np.clip(parts, 0, 1) * (STEPS - 1)).round().astype(np.uint8))
    image.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=9)
    return buffer.getvalue()


def _load(folder: Path, record: Record, name: str) -> Photo | str:
    if name not in record.pictures:
        return "no picture was kept"
    file = record.pictures[name]
    try:
        values = read(folder / file).x[0].movedim(0, -1).numpy()
        return Photo((folder / file).read_bytes(), values)
    except DataError as error:
        return str(error).replace(str(folder / file), file)
    except OSError as error:
        return f"{file} cannot be read: {error.strerror or error}"


def _error(photo: Photo | str, truth: Photo | str) -> np.ndarray | str:
    """Return |photo - truth|, averaged over the channels, or the reason why there is none."""
    if isinstance(photo, str) or isinstance(truth, str):
        return "no error map without both pictures"
    if photo.values.shape[:2] != truth.values.shape[:2]:
        sizes = " and ".join(f"{x.values.shape[1]}x{x.values.shape[0]}" for x in (photo, truth))
        return f"no error map of pictures of {sizes} pixels"
    difference: np.ndarray = np.abs(photo.values - truth.values).mean(-1)  # grey and colour are broadcast
    return difference


def _choose_limit(errors: Mapping[str, np.ndarray | str]) -> float:
    """Choose the upper end of the colour scale, rounded up to two digits.

    It is a high quantile of the errors, the median over the restorations, so that one method that went wrong does not
    leave the maps of the others dark. Without restorations, it is that of the measurement.
    """
    found = {name: error for name, error in errors.items() if not isinstance(error, str)}
    chosen = [error for name, error in found.items() if name != "measured"] or list(found.values())
    large = [float(np.quantile(error, QUANTILE)) for error in chosen]
    largest = max(float(np.median(large)) if large else 0.0, 1 / 255)
    power = 10.0 ** (math.floor(math.log10(largest)) - 1)
    return math.ceil(largest / power - 1e-9) * power
