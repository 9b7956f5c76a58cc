"""The pictures of a report as data URIs, each embedded once, within a budget of bytes."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from rgmkit.experiments.report.pictures import GalleryRow, Photo

BUDGET = 25_000_000
"""Maximum number of bytes of all data URIs of a report."""

QUALITY, LARGEST_WEBP = 90, 16383

Encoder = Callable[[Photo], tuple[str, bytes]]
Slot = int | str
"""The index of a picture in its album, or the reason why there is no picture."""


class Album:
    """The pictures of a report: photographs encoded by `encode`, error maps as PNG."""

    def __init__(self, encode: Encoder, budget: int) -> None:
        self.uris: list[str] = []
        self._encode, self._left = encode, budget
        self._slots: dict[bytes, int] = {}

    def add(self, row: GalleryRow) -> bool:
        """Add the pictures of a row, all or none; return whether they were added. The first row always is."""
        new: dict[bytes, str] = {}
        for picture in (*row.photos.values(), *row.errors.values()):
            if not isinstance(picture, str) and (name := _digest(picture)) not in self._slots:
                new[name] = to_uri(*(("png", picture) if isinstance(picture, bytes) else self._encode(picture)))
        size = sum(map(len, new.values()))
        if size > self._left and self.uris:
            return False
        self._left -= size
        for name, content in new.items():
            self._slots[name] = len(self.uris)
            self.uris.append(content)
        return True

    def slot(self, picture: Photo | bytes | str) -> Slot:
        """Return the index of a picture that was added, or unchanged the reason why it is missing."""
        return picture if isinstance(picture, str) else self._slots[_digest(picture)]

    @property
    def exceeds_budget(self) -> bool:
        """Whether the pictures exceed the budget."""
        return self._left < 0


def encode_exactly(photo: Photo) -> tuple[str, bytes]:
    """Return the bytes of the PNG file unchanged."""
    return "png", photo.png


def compress(photo: Photo) -> tuple[str, bytes]:
    """Encode a photograph as high-quality WebP, or as JPEG if it is too large for WebP."""
    array = (np.clip(photo.values, 0, 1) * 255).round().astype(np.uint8)
    image, buffer = Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array), io.BytesIO()
    form = "webp" if max(image.size) <= LARGEST_WEBP else "jpeg"
    image.save(buffer, form, quality=QUALITY)
    return form, buffer.getvalue()


def to_uri(form: str, data: bytes) -> str:
    """Make a data URI of an image."""
    return f"data:image/{form};base64,{base64.b64encode(data).decode()}"


def _digest(picture: Photo | bytes) -> bytes:
    return hashlib.sha256(picture if isinstance(picture, bytes) else picture.png).digest()
