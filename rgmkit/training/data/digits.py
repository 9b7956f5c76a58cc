"""1,797 handwritten digits that come with the package.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49 (CC BY 4.0): its test part, 8x8 pixels of 17 grey
values, as distributed with scikit-learn.
"""

from __future__ import annotations

import warnings
from functools import cached_property, lru_cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from rgmkit.core.random import seeded
from rgmkit.deprecation import warn_renamed
from rgmkit.training.data.base import FiniteData

TRAIN = 1500  # of 1,797; the others are held out
SPLIT_SEED = 20230305
COMPONENTS, HALVINGS, CONFIDENT = 40, 5, 0.8
Split: TypeAlias = Literal["train", "held-out", "held-back"]


@final
class Digits(FiniteData):
    """Handwritten digits, 8x8 pixels enlarged to 16x16 by bicubic interpolation, grey.

    Args:
        split: "train" (1,500 images) or "held-out" (the other 297, not used in training).

    >>> Digits(split="held-out").images.shape
    torch.Size([297, 1, 16, 16])
    """

    shape = (1, 16, 16)
    draws = False

    def __init__(self, *, split: Split = "train") -> None:
        super().__init__()
        if split == "held-back":
            warn_renamed("split='held-back'", "'held-out'")
        real, chosen = real_digits(), slice(TRAIN) if split == "train" else slice(TRAIN, None)
        self.images, self.labels = real.images[chosen], real.labels[chosen]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images with these indices, (n, 1, 16, 16) in [0, 1]; `generator` is not used."""
        return self.images[indices]

    def score(self, samples: Tensor) -> dict[str, float]:
        """Compare generated digits with real ones.

        `frechet`: Fréchet distance in 40 principal components, divided by that between two random halves of the real
        digits; `confident`, `least class`: see `RealImages.classify` (held-out digits: about 0.9);
        `nearest_neighbour_ratio`: distance to the nearest training digit, divided by that of held-out digits (well
        below 1: the network copies training digits).
        """
        samples, train, held_out = samples.clamp(0, 1), Digits(split="train").images, Digits(split="held-out").images
        real = real_digits()
        return {
            "frechet": real.relative_frechet(samples),
            **real.classify(samples),
            "nearest_neighbour_ratio": nearest_distance(samples, train) / nearest_distance(held_out, train),
        }


@lru_cache(maxsize=1)
def real_digits() -> RealImages:
    """Read all digits, in random order: the first 1,500 are for training."""
    with files("rgmkit.training.data").joinpath("digits.npz").open("rb") as file, np.load(file) as archive:
        images, labels = torch.from_numpy(archive["images"]), torch.from_numpy(archive["labels"])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SPLIT_SEED))
    small = images[:, None].float() / 16
    large = interpolate(small, scale_factor=2, mode="bicubic").clamp(0, 1)
    return RealImages(large[order], labels.long()[order])


class RealImages:
    """Real images with their classes, to compare generated images with; features and classifier are fitted once.

    The Fréchet distance is not an FID: its features are principal components of the pixels, not Inception's.

    Args:
        images: in [0, 1], (N, C, H, W).
        labels: the classes 0, 1, …, int64 (N,).
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def relative_frechet(self, samples: Tensor) -> float:
        """Return the Fréchet distance from samples, divided by that between random halves of the real images."""
        return frechet(self.images, samples, self._features) / self._between_halves

    def classify(self, samples: Tensor) -> dict[str, float]:
        """Return the fraction of samples classified with a confidence above 0.8, and that of the rarest class.

        The classifier, an SVM with an RBF kernel, is trained on a random half of the real images. Without scikit-learn,
        the result is empty.
        """
        if not find_spec("sklearn"):
            return {}
        chances = torch.from_numpy(self._classifier.predict_proba(samples.flatten(1).numpy()))
        confidence, winner = chances.max(1)
        share = torch.bincount(winner, minlength=int(self.labels.max()) + 1).double() / len(samples)
        return {"confident": float((confidence > CONFIDENT).double().mean()), "least class": float(share.min())}

    @cached_property
    def _features(self) -> PrincipalComponents:
        return PrincipalComponents(self.images)

    @cached_property
    def _between_halves(self) -> float:
        images = self.images
        halves = [torch.randperm(len(images), generator=seeded(i)).chunk(2) for i in range(HALVINGS)]
        return sum(frechet(images[one], images[other], self._features) for one, other in halves) / HALVINGS

    @cached_property
    def _classifier(self) -> Any:
        from sklearn.svm import SVC

        half = torch.randperm(len(self.images), generator=seeded(0))[: len(self.images) // 2]
        machine = SVC(kernel="rbf", gamma="scale", probability=True, random_state=0)
        with warnings.catch_warnings():  # scikit-learn 1.9 announces the end of `probability`, which 1.10 still has
            warnings.simplefilter("ignore", FutureWarning)
            return machine.fit(self.images[half].flatten(1).numpy(), self.labels[half].numpy())


class PrincipalComponents(nn.Module):
    """Projection of images onto the first principal components of a set of images."""

    def __init__(self, images: Tensor, components: int = COMPONENTS) -> None:
        super().__init__()
        flat = images.flatten(1).double()
        self.mean = flat.mean(0)
        self.basis = torch.linalg.svd(flat - self.mean, full_matrices=False).Vh[:components].T
        self.num_features = self.basis.shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """Project images, (n, components)."""
        return (images.flatten(1).double() - self.mean) @ self.basis


def frechet(a: Tensor, b: Tensor, features: PrincipalComponents) -> float:
    """Return the Fréchet distance between Gaussians fitted to the features of two sets of images."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    # Only one of several processes computes the distance, so it must not wait for the others.
    distance = FrechetInceptionDistance(feature=features, sync_on_compute=False)
    distance.update(a, real=True)
    distance.update(b, real=False)
    return float(distance.compute())


def nearest_distance(samples: Tensor, images: Tensor) -> float:
    """Return the mean Euclidean distance from a sample to its nearest neighbour among `images`."""
    return float(torch.cdist(samples.flatten(1), images.flatten(1)).min(1).values.mean())
