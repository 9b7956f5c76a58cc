"""Restore a colour photograph, of which most pixels are missing, with a network and with total variation."""

from __future__ import annotations

from dataclasses import dataclass

import skimage.data
import torch
from torch import Tensor

from rgmkit.config import build, metric
from rgmkit.core.degradation import Degradation
from rgmkit.core.random import Streams
from rgmkit.inference import restore

DEGRADATION, NETWORK, PRIOR = "inpaint:keep=0.3,noise=0.02", "photographs", "tv"


@dataclass(frozen=True)
class Photograph:
    """The restored photograph.

    Attributes:
        images: colour images (1, 3, H, W) in [0, 1], by what they are: the truth, the measurement, the restorations.
        psnr: in dB, of each of them but the truth.
        nfe: evaluations of the network.
        seconds: of the restoration by the network.
    """

    images: dict[str, Tensor]
    psnr: dict[str, float]
    nfe: int
    seconds: float


def restore_photograph(*, seed: int) -> Photograph:
    """Degrade a photograph and restore it with the network and with total variation, both by default settings."""
    pixels = torch.from_numpy(skimage.data.astronaut()[:256, 96:352].copy())
    truth = pixels.permute(2, 0, 1)[None].float() / 255
    degradation: Degradation = build("degradation", DEGRADATION)
    y = degradation(truth, generator=Streams(seed, [0]))
    learned, smooth = (restore(y, degradation, prior, seed=seed) for prior in (NETWORK, PRIOR))
    images = {"measured": y, "total variation": smooth.x, "network": learned.x}
    images = {name: x.clamp(0, 1) for name, x in images.items()}
    psnr = {name: float(metric("psnr")(x, truth).mean()) for name, x in images.items()}
    return Photograph({"truth": truth, **images}, psnr, learned.nfe, learned.seconds)
