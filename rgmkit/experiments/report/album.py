"""Pictures as data URIs, each of them once, within a budget of bytes."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from rgmkit.experiments.report.pictures import Photo, Row

BUDGET = 25_000_000
"""Bytes of all data URIs of a report."""

QUALITY, LARGEST_WEBP = 90, 16383

Encoder = Callable[[Photo], tuple[str, bytes]]
Slot = int | str
"""The number of a picture in its album, or the reason why there is none."""


class Album:
    """The pictures of a report, in the form that `encode` gives photographs; error maps stay PNG."""

    def __init__(self, encode: Encoder, budget: int) -> None:
        self.uris: list[str] = []
        self._encode, self._left = encode, budget
        self._slots: dict[bytes, int] = {}

    def take(self, row: Row) -> bool:
        """Put the pictures of a row in, all or none; whether they fit. The first row always does."""
        new: dict[bytes, str] = {}
        for picture in (*row.photos.values(), *row.errors.values()):
            if not isinstance(picture, str) and (name := _digest(picture)) not in self._slots:
                new[name] = uri(*(("png", picture) if isinstance(picture, bytes) else self._encode(picture)))
        size = sum(map(len, new.values()))
        if size > self._left and self.uris:
            return False
        self._left -= size
        for name, content in new.items():
            self._slots[name] = len(self.uris)
            self.uris.append(content)
        return True

    def slot(self, picture: Photo | bytes | str) -> Slot:
        """Where a picture that was taken is; the reason why it lacks stays what it is."""
        return picture if isinstance(picture, str) else self._slots[_digest(picture)]

    @property
    def full(self) -> bool:
        """Whether more was taken than the budget allows."""
        return self._left < 0


def lossless(photo: Photo) -> tuple[str, bytes]:
    """A photograph as it lies on the disk."""
    return "png", photo.png


def lossy(photo: Photo) -> tuple[str, bytes]:
    """A photograph as WebP of high quality, as JPEG where it is too large for WebP."""
    array = (np.clip(photo.values, 0, 1) * 255).round().astype(np.uint8)
    image, buffer = Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array), io.BytesIO()
    form = "webp" if max(image.size) <= LARGEST_WEBP else "jpeg"
    image.save(buffer, form, quality=QUALITY)
    return form, buffer.getvalue()


def uri(form: str, data: bytes) -> str:
    """An image as a data URI."""
    return f"data:image/{form};base64,{base64.b64encode(data).decode()}"


def _digest(picture: Photo | bytes) -> bytes:
    return hashlib.sha256(picture if isinstance(picture, bytes) else picture.png).digest()
