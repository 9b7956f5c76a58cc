"""Metrics of sets of generated images, compared with real ones.

None of these is an FID: the features are principal components of the pixels, not Inception's.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from rgmkit.core.random import seeded

COMPONENTS, HALVINGS, CONFIDENT = 40, 5, 0.8


class PrincipalComponents(nn.Module):
    """Projection of images onto the first principal components of a set of images."""

    def __init__(self, images: Tensor, components: int = COMPONENTS) -> None:
        super().__init__()
        flat = images.flatten(1).double()
        self.mean = flat.mean(0)
        self.basis = torch.linalg.svd(flat - self.mean, full_matrices=False).Vh[:components].T
        self.num_features = self.basis.shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """The components of each image, (n, components)."""
        return (images.flatten(1).double() - self.mean) @ self.basis


def frechet(a: Tensor, b: Tensor, features: PrincipalComponents) -> float:
    """Return the Fréchet distance between Gaussians fitted to the features of two sets of images."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    # Only one of several processes computes it, so it must not wait for the others.
    distance = FrechetInceptionDistance(feature=features, sync_on_compute=False)
    distance.update(a, real=True)
    distance.update(b, real=False)
    return float(distance.compute())


def relative_frechet(samples: Tensor, real: Tensor) -> float:
    """Return the distance from samples to real images, divided by that between random halves of the real ones."""
    features = PrincipalComponents(real)
    halves = [torch.randperm(len(real), generator=seeded(i)).chunk(2) for i in range(HALVINGS)]
    between = sum(frechet(real[one], real[other], features) for one, other in halves) / HALVINGS
    return frechet(real, samples, features) / between


def nearest_distance(samples: Tensor, images: Tensor) -> float:
    """Return the mean Euclidean distance from a sample to its nearest neighbour among `images`."""
    return float(torch.cdist(samples.flatten(1), images.flatten(1)).min(1).values.mean())


def classify(samples: Tensor, real: Tensor, labels: Tensor, *, classes: int = 10) -> dict[str, float]:
    """Return the fraction of samples classified with a confidence above 0.8, and that of the rarest class.

    The classifier, an SVM with an RBF kernel, is trained on a random half of the real images. Without scikit-learn
    there is nothing to return.
    """
    if not find_spec("sklearn"):
        return {}
    from sklearn.svm import SVC

    half = torch.randperm(len(real), generator=seeded(0))[: len(real) // 2]
    machine = SVC(kernel="rbf", gamma="scale", probability=True, random_state=0)
    with warnings.catch_warnings():  # scikit-learn 1.9 announces the end of `probability`, which is in 1.10 still
        warnings.simplefilter("ignore", FutureWarning)
        machine.fit(real[half].flatten(1).numpy(), labels[half].numpy())
    chances = torch.from_numpy(machine.predict_proba(samples.flatten(1).numpy()))
    confidence, winner = chances.max(1)
    share = torch.bincount(winner, minlength=classes).double() / len(samples)
    return {"confident": float((confidence > CONFIDENT).double().mean()), "least class": float(share.min())}
