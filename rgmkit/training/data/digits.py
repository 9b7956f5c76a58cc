"""1,797 handwritten digits that come with the package.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49 (CC BY 4.0): its test part, 8x8 pixels of 17 grey
values, as distributed with scikit-learn.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Literal, TypeAlias, final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from rgmkit.deprecation import warn_renamed
from rgmkit.training.data.base import FiniteData
from rgmkit.training.data.scores import RealImages, nearest_distance

TRAIN = 1500  # of 1,797; the others are held out
SPLIT_SEED = 20230305
Split: TypeAlias = Literal["train", "held-out", "held-back"]


@final
class Digits(FiniteData):
    """Handwritten digits, 8x8 pixels enlarged to 16x16 by bicubic interpolation, grey.

    Args:
        split: "train" (1,500 images) or "held-out" (the other 297, never trained on).

    >>> Digits(split="held-out").images.shape
    torch.Size([297, 1, 16, 16])
    """

    shape = (1, 16, 16)
    draws = False

    def __init__(self, *, split: Split = "train") -> None:
        super().__init__()
        if split == "held-back":
            warn_renamed("split='held-back'", "'held-out'")
        images, labels = _read()
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SPLIT_SEED))
        chosen = order[:TRAIN] if split == "train" else order[TRAIN:]
        self.images, self.labels = images[chosen], labels[chosen]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images at these places, (n, 1, 16, 16) in [0, 1]; nothing is drawn."""
        return self.images[indices]

    def score(self, samples: Tensor) -> dict[str, float]:
        """Compare generated digits with real ones.

        `frechet`: Fréchet distance in 40 principal components, divided by that between two random halves of the real
        digits; `confident`, `least class`: see `RealImages.classify` (held-out digits: about 0.9);
        `nearest_neighbour_ratio`: distance to the nearest training digit, divided by that of held-out digits (below 1:
        copies).
        """
        samples, train, held_out = samples.clamp(0, 1), Digits(split="train").images, Digits(split="held-out").images
        real = _real_images()
        return {
            "frechet": real.relative_frechet(samples),
            **real.classify(samples),
            "nearest_neighbour_ratio": nearest_distance(samples, train) / nearest_distance(held_out, train),
        }


@lru_cache(maxsize=1)
def _real_images() -> RealImages:
    train, held_out = Digits(split="train"), Digits(split="held-out")
    return RealImages(torch.cat([train.images, held_out.images]), torch.cat([train.labels, held_out.labels]))


@lru_cache(maxsize=1)
def _read() -> tuple[Tensor, Tensor]:
    with files("rgmkit.training.data").joinpath("digits.npz").open("rb") as file, np.load(file) as archive:
        images, labels = torch.from_numpy(archive["images"]), torch.from_numpy(archive["labels"])
    small = images[:, None].float() / 16
    return interpolate(small, scale_factor=2, mode="bicubic").clamp(0, 1), labels.long()
