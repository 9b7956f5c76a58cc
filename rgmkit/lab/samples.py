"""Pictures to begin with: photographs that come with scikit-image, and a digit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rgmkit.lab.pictures import encode


@dataclass(frozen=True)
class Sample:
    """A sample picture.

    Attributes:
        title: as the page shows it.
        make: returns it, (H, W) or (H, W, 3) in 8 bits.
    """

    title: str
    make: Callable[[], np.ndarray]


def _crop(name: str, top: int, left: int, size: int) -> np.ndarray:
    import skimage.data

    picture = getattr(skimage.data, name)()
    return np.ascontiguousarray(picture[top : top + size, left : left + size])


def _digit() -> np.ndarray:
    from rgmkit.training.data.digits import real_digits

    digit = real_digits().images[-1, 0]
    return (digit * 255).round().byte().numpy()


def _phantom() -> np.ndarray:
    import skimage.data
    from skimage.transform import resize

    return (resize(skimage.data.shepp_logan_phantom(), (128, 128), anti_aliasing=True) * 255).round().astype(np.uint8)


SAMPLES = {
    "astronaut": Sample("astronaut", functools.partial(_crop, "astronaut", 0, 96, 256)),
    "camera": Sample("cameraman", functools.partial(_crop, "camera", 60, 120, 256)),
    "cat": Sample("cat", functools.partial(_crop, "chelsea", 20, 100, 256)),
    "coffee": Sample("coffee", functools.partial(_crop, "coffee", 60, 180, 256)),
    "page": Sample("page", functools.partial(_crop, "page", 0, 60, 160)),
    "phantom": Sample("phantom", _phantom),
    "digit": Sample("digit", _digit),
}


def list_samples() -> list[dict[str, str]]:
    """List the names and titles of the samples."""
    return [{"name": name, "title": sample.title} for name, sample in SAMPLES.items()]


@functools.cache
def read_sample(name: str) -> bytes | None:
    """Return a sample as PNG; None if there is none of this name."""
    return encode(SAMPLES[name].make()) if name in SAMPLES else None
