"""Metrics of sets of generated images, compared with real ones.

None of these is an FID: the features are principal components of the pixels, not Inception's.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from rgmkit.core.random import seeded

COMPONENTS, HALVINGS, CONFIDENT = 40, 5, 0.8


class RealImages:
    """Real images with their classes; what is fitted to them is fitted once.

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

        The classifier, an SVM with an RBF kernel, is trained on a random half of the real images. Without scikit-learn
        there is nothing to return.
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

    # Only one of several processes computes it, so it must not wait for the others.
    distance = FrechetInceptionDistance(feature=features, sync_on_compute=False)
    distance.update(a, real=True)
    distance.update(b, real=False)
    return float(distance.compute())


def nearest_distance(samples: Tensor, images: Tensor) -> float:
    """Return the mean Euclidean distance from a sample to its nearest neighbour among `images`."""
    return float(torch.cdist(samples.flatten(1), images.flatten(1)).min(1).values.mean())
